/*
 * Icon themes to a folder of class folders: class = icon name, instance = a theme's drawing of it.
 *
 *     icons THEMES_DIR OUT_DIR [LEAST]
 *
 * A theme is a folder of THEMES_DIR. One file per (name, theme), the one with most bytes; symbolic,
 * cursor, animation, -rtl and dark ones left out by their paths; rendered 64 x 64 on white; blank
 * renders (also what was drawn in white, for dark panels) dropped. Names that are aliases (the same
 * render in at least two themes and in more than half of those that have both) become one class.
 * Within a class a second drawing of a theme is dropped, and one nearer than 8/255 (mean absolute
 * difference at 16 x 16) to one before it. Classes with fewer than LEAST (6) drawings are left out.
 *
 * With Debian 12's ten packages this gives 770 classes. How many there are hangs on what the words
 * mean, because 280 of them have exactly six drawings, and on a few shared ones: taking the largest
 * nominal size instead of the largest file gives 850 to 880; an icon blank below 4/255 of ink, not
 * 3, changes it by 25, and below 5/255 gives 1,040 (nearly white drawings that many names share
 * then no longer make aliases of them); a package as a theme, instead of a folder, at most 430.
 */
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/opt.h"
#include "base/parallel.h"

#include <ctype.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <vips/vips.h>

enum { SIDE = 64, SMALL = 16, CHANNELS = 3, PIXELS = SIDE * SIDE * CHANNELS };
/* Of 255, mean over the small picture: less ink is blank, less difference is the same drawing. */
enum { BLANK = 3, NEAR = 8 };

/* A file's picture; links make many icons share one. */
struct drawing {
    bool good; /* neither blank nor unreadable */
    uint8_t pixels[PIXELS];
    uint8_t small[SMALL * SMALL * CHANNELS];
    uint64_t hash;
};

struct icon {
    char *name, *theme, *path; /* path: symlinks resolved */
    off_t size;                /* bytes */
    struct drawing *drawing;
    size_t class; /* index of the first icon of its class, after merging */
};

struct icons {
    struct icon *items;
    size_t count, capacity;
};

static bool unwanted(const char *path)
{
    static const char *const words[] = {"symbolic", "cursors", "animations", "-rtl", "dark"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasestr(path, words[i]))
            return true;
    return false;
}

static int add_file(struct icons *icons, const char *root, const char *path, off_t size)
{
    const char *relative = path + strlen(root) + 1, *base = ps_path_base(path);
    const char *dot = strrchr(base, '.');
    if (!dot || unwanted(relative) || !strchr(relative, '/') ||
        ps_choice_index(".png|.svg|.svgz", dot) < 0)
        return PS_OK;
    char *real = realpath(path, NULL);
    if (!real)
        return ps_fail_errno("%s: cannot be resolved", path);
    int rc = ps_grow(&icons->items, &icons->capacity, icons->count + 1, sizeof *icons->items);
    if (rc) {
        free(real);
        return rc;
    }
    struct icon *icon = &icons->items[icons->count++];
    *icon = (struct icon){.name = ps_asprintf("%.*s", (int)(dot - base), base),
                          .theme = ps_asprintf("%.*s", (int)strcspn(relative, "/"), relative),
                          .path = real,
                          .size = size};
    return icon->name && icon->theme ? PS_OK : PS_ENOMEM;
}

static void icon_free(struct icon *icon)
{
    free(icon->name);
    free(icon->theme);
    free(icon->path);
}

static int by_name_theme_size(const void *a, const void *b)
{
    const struct icon *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (!order)
        order = strcmp(x->theme, y->theme);
    if (!order)
        order = (x->size < y->size) - (x->size > y->size);
    return order ? order : strcmp(x->path, y->path);
}

static int find_files(struct icons *icons, char *root)
{
    char *const roots[] = {root, NULL};
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return ps_fail_errno("%s: cannot read", root);
    int rc = PS_OK;
    for (FTSENT *entry; !rc && (entry = fts_read(walk));)
        if (entry->fts_info == FTS_F)
            rc = add_file(icons, root, entry->fts_path, entry->fts_statp->st_size);
    fts_close(walk);
    if (!rc && !icons->count)
        rc = ps_fail(PS_EINVAL, "%s: no icons below it", root);
    if (rc)
        return rc;
    qsort(icons->items, icons->count, sizeof *icons->items, by_name_theme_size);
    size_t kept = 0;
    for (size_t i = 0; i < icons->count; i++) {
        struct icon *icon = &icons->items[i], *last = kept ? &icons->items[kept - 1] : NULL;
        if (last && !strcmp(last->name, icon->name) && !strcmp(last->theme, icon->theme))
            icon_free(icon);
        else
            icons->items[kept++] = *icon;
    }
    icons->count = kept;
    return PS_OK;
}

/* SIDE x SIDE RGB on white, the picture centred. */
static void draw(const char *path, struct drawing *drawing)
{
    VipsImage *image = NULL, *flat = NULL, *square = NULL, *little = NULL;
    VipsArrayDouble *white = vips_array_double_newv(3, 255.0, 255.0, 255.0);
    size_t length = 0;
    if (vips_thumbnail(path, &image, SIDE, "height", SIDE, NULL) ||
        vips_colourspace(image, &flat, VIPS_INTERPRETATION_sRGB, NULL))
        goto done;
    g_clear_object(&image);
    if (vips_image_hasalpha(flat)) {
        if (vips_flatten(flat, &image, "background", white, NULL))
            goto done;
    } else {
        image = g_object_ref(flat);
    }
    if (image->Bands != CHANNELS ||
        vips_gravity(image, &square, VIPS_COMPASS_DIRECTION_CENTRE, SIDE, SIDE, "extend",
                     VIPS_EXTEND_WHITE, NULL) ||
        vips_shrink(square, &little, (double)SIDE / SMALL, (double)SIDE / SMALL, NULL))
        goto done;
    uint8_t *pixels = vips_image_write_to_memory(square, &length);
    uint8_t *small = length == PIXELS ? vips_image_write_to_memory(little, &length) : NULL;
    if (small && length == sizeof drawing->small) {
        memcpy(drawing->pixels, pixels, PIXELS);
        memcpy(drawing->small, small, sizeof drawing->small);
        drawing->hash = ps_checksum(pixels, PIXELS);
        long ink = 0;
        for (size_t i = 0; i < sizeof drawing->small; i++)
            ink += 255 - small[i];
        drawing->good = ink >= BLANK * (long)sizeof drawing->small;
    }
    g_free(small);
    g_free(pixels);
done:
    vips_error_clear();
    g_clear_object(&image);
    g_clear_object(&flat);
    g_clear_object(&square);
    g_clear_object(&little);
    vips_area_unref(VIPS_AREA(white));
}

static const struct icons *sorted_icons; /* qsort has no context */
static int by_path(const void *x, const void *y)
{
    return strcmp(sorted_icons->items[*(const size_t *)x].path,
                  sorted_icons->items[*(const size_t *)y].path);
}

/* What is drawn: drawing i is that of the icons order[start[i]] .. order[start[i + 1] - 1]. */
struct sheet {
    struct icons *icons;
    size_t *order, *start, count;
    struct drawing *drawings;
};

static int draw_one(void *context, size_t i)
{
    struct sheet *sheet = context;
    draw(sheet->icons->items[sheet->order[sheet->start[i]]].path, &sheet->drawings[i]);
    for (size_t k = sheet->start[i]; k < sheet->start[i + 1]; k++)
        sheet->icons->items[sheet->order[k]].drawing = &sheet->drawings[i];
    ps_progress_add(1);
    return PS_OK;
}

/* Draws every file once; *drawings belongs to the caller. */
static int draw_all(struct icons *icons, struct drawing **drawings)
{
    struct sheet sheet = {.icons = icons,
                          .order = ps_calloc(icons->count, sizeof(size_t)),
                          .start = ps_calloc(icons->count + 1, sizeof(size_t))};
    int rc = sheet.order && sheet.start ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < icons->count && !rc; i++)
        sheet.order[i] = i;
    if (!rc) {
        sorted_icons = icons;
        qsort(sheet.order, icons->count, sizeof(size_t), by_path);
        for (size_t i = 0; i < icons->count; i++)
            if (!i || by_path(&sheet.order[i - 1], &sheet.order[i]))
                sheet.start[sheet.count++] = i;
        sheet.start[sheet.count] = icons->count;
        *drawings = sheet.drawings = ps_calloc(sheet.count, sizeof *sheet.drawings);
        rc = sheet.drawings ? PS_OK : PS_ENOMEM;
    }
    if (!rc) {
        ps_progress_begin("render", sheet.count, "files");
        rc = ps_parallel_for(0, sheet.count, draw_one, &sheet);
        ps_progress_end();
    }
    free(sheet.order);
    free(sheet.start);
    return rc;
}

static size_t class_of(const struct icons *icons, size_t i)
{
    while (icons->items[i].class != i)
        i = icons->items[i].class;
    return i;
}

/* One shared drawing: the names (as the index of their first icon) a < b, in one theme. */
struct alias {
    size_t a, b;
};

static int by_pair(const void *x, const void *y)
{
    const struct alias *p = x, *q = y;
    int order = (p->a > q->a) - (p->a < q->a);
    return order ? order : (p->b > q->b) - (p->b < q->b);
}

static int by_theme_hash(const void *x, const void *y)
{
    const struct icon *a = &sorted_icons->items[*(const size_t *)x];
    const struct icon *b = &sorted_icons->items[*(const size_t *)y];
    int order = strcmp(a->theme, b->theme);
    if (order)
        return order;
    return (a->drawing->hash > b->drawing->hash) - (a->drawing->hash < b->drawing->hash);
}

/* In how many themes are both names drawn? Icons of a name stand together, sorted by theme. */
static size_t common_themes(const struct icons *icons, size_t a, size_t b)
{
    const char *first = icons->items[a].name, *second = icons->items[b].name;
    size_t common = 0;
    while (a < icons->count && b < icons->count && !strcmp(icons->items[a].name, first) &&
           !strcmp(icons->items[b].name, second)) {
        int order = strcmp(icons->items[a].theme, icons->items[b].theme);
        common += !order;
        a += order <= 0;
        b += order >= 0;
    }
    return common;
}

static int collect_aliases(const struct icons *icons, const size_t *first, size_t *order,
                           struct alias **out, size_t *count)
{
    size_t capacity = 0;
    for (size_t i = 0, end; i < icons->count; i = end) {
        for (end = i + 1; end < icons->count && !by_theme_hash(&order[i], &order[end]);)
            end++;
        if (!icons->items[order[i]].drawing->good)
            continue;
        for (size_t p = i; p < end; p++)
            for (size_t q = p + 1; q < end; q++) {
                size_t a = first[order[p]], b = first[order[q]];
                int rc = ps_grow(out, &capacity, *count + 1, sizeof **out);
                if (rc)
                    return rc;
                (*out)[(*count)++] = (struct alias){a < b ? a : b, a < b ? b : a};
            }
    }
    if (*count)
        qsort(*out, *count, sizeof **out, by_pair);
    return PS_OK;
}

static int merge_aliases(struct icons *icons)
{
    size_t *first = ps_calloc(icons->count, sizeof *first);
    size_t *order = ps_calloc(icons->count, sizeof *order), count = 0;
    struct alias *aliases = NULL;
    int rc = first && order ? PS_OK : PS_ENOMEM;
    for (size_t i = 0; i < icons->count && !rc; i++) {
        bool same = i > 0 && !strcmp(icons->items[i].name, icons->items[i - 1].name);
        first[i] = same ? first[i - 1] : i;
        icons->items[i].class = first[i];
        order[i] = i;
    }
    if (!rc) {
        sorted_icons = icons;
        qsort(order, icons->count, sizeof *order, by_theme_hash);
        rc = collect_aliases(icons, first, order, &aliases, &count);
    }
    for (size_t i = 0, end; i < count && !rc; i = end) {
        for (end = i + 1; end < count && !by_pair(&aliases[i], &aliases[end]);)
            end++;
        size_t a = class_of(icons, aliases[i].a), b = class_of(icons, aliases[i].b);
        if (end - i >= 2 && 2 * (end - i) > common_themes(icons, aliases[i].a, aliases[i].b))
            icons->items[a > b ? a : b].class = a < b ? a : b;
    }
    free(aliases);
    free(first);
    free(order);
    return rc;
}

static int by_class(const void *x, const void *y)
{
    size_t a = *(const size_t *)x, b = *(const size_t *)y;
    size_t p = class_of(sorted_icons, a), q = class_of(sorted_icons, b);
    return p != q ? (p > q) - (p < q) : (a > b) - (a < b);
}

/* Would this icon add nothing to the class beside `kept`: the same theme again, or nearly equal? */
static bool redundant(const struct icon *kept, const struct icon *icon)
{
    const uint8_t *a = kept->drawing->small, *b = icon->drawing->small;
    long difference = 0;
    for (size_t i = 0; i < sizeof kept->drawing->small; i++)
        difference += labs((long)a[i] - b[i]);
    return !strcmp(kept->theme, icon->theme) ||
           difference < NEAR * (long)sizeof kept->drawing->small;
}

static int save(const struct icons *icons, const char *out, const size_t *member, size_t count)
{
    char *folder = ps_path_join(out, icons->items[class_of(icons, member[0])].name);
    int rc = folder ? ps_make_folder(folder) : PS_ENOMEM;
    for (size_t i = 0; i < count && !rc; i++) {
        struct icon *icon = &icons->items[member[i]];
        char *path = ps_asprintf("%s/%s@%s.png", folder, icon->name, icon->theme);
        VipsImage *image = vips_image_new_from_memory(icon->drawing->pixels, PIXELS, SIDE, SIDE,
                                                      CHANNELS, VIPS_FORMAT_UCHAR);
        if (!path || !image || vips_pngsave(image, path, "strip", TRUE, NULL))
            rc = ps_fail(PS_EIO, "%s: cannot write: %s", path ? path : folder, vips_error_buffer());
        if (image)
            g_object_unref(image);
        free(path);
    }
    free(folder);
    return rc;
}

static int save_classes(struct icons *icons, const char *out, size_t least)
{
    size_t *order = ps_calloc(icons->count, sizeof *order), classes = 0, images = 0;
    if (!order)
        return PS_ENOMEM;
    for (size_t i = 0; i < icons->count; i++)
        order[i] = i;
    qsort(order, icons->count, sizeof *order, by_class);
    int rc = PS_OK;
    for (size_t i = 0, end; i < icons->count && !rc; i = end) {
        size_t class = class_of(icons, order[i]), kept = 0;
        for (end = i; end < icons->count && class_of(icons, order[end]) == class; end++) {
            struct icon *icon = &icons->items[order[end]];
            bool wanted = icon->drawing->good;
            for (size_t k = 0; k < kept && wanted; k++)
                wanted = !redundant(&icons->items[order[i + k]], icon);
            if (wanted) { /* swap, so that class_of still sees every index */
                size_t moved = order[i + kept];
                order[i + kept++] = order[end];
                order[end] = moved;
            }
        }
        if (kept < least)
            continue;
        rc = save(icons, out, order + i, kept);
        classes++;
        images += kept;
    }
    free(order);
    if (!rc)
        ps_info("%zu images of %zu classes", images, classes);
    return rc;
}

/* Broken drawings are left out; librsvg's complaints about them are not news. */
static void ignore(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
    (void)domain, (void)level, (void)message, (void)data;
}

int main(int argc, char **argv)
{
    ps_log_program("icons");
    int64_t least = 6;
    if (argc < 3 || (argc > 3 && !ps_parse_whole(argv[3], 1, INT32_MAX, &least))) {
        ps_fail(PS_EUSAGE, "usage: icons THEMES_DIR OUT_DIR [LEAST]");
        ps_log_error();
        return 2;
    }
    struct icons icons = {0};
    if (VIPS_INIT(argv[0]))
        return 1;
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    g_log_set_handler("VIPS", G_LOG_LEVEL_WARNING, ignore, NULL);
    int rc = find_files(&icons, argv[1]);
    struct drawing *drawings = NULL;
    if (!rc)
        rc = draw_all(&icons, &drawings);
    if (!rc)
        rc = merge_aliases(&icons);
    if (!rc)
        rc = save_classes(&icons, argv[2], (size_t)least);
    if (rc)
        ps_log_error();
    for (size_t i = 0; i < icons.count; i++)
        icon_free(&icons.items[i]);
    free(drawings);
    free(icons.items);
    return ps_exit_status(rc);
}
