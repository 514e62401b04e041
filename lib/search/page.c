#include "search/page.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/image_file.h"
#include "data/picture.h"
#include "view/svg.h"

#include <stdlib.h>
#include <string.h>

enum { SIDE = 128 }; /* pixels, drawn half as large on dense screens */

struct ps_page {
    ps_out *out;
    const struct ps_gallery *gallery;
    ps_shard *shard;
    size_t missing;
};

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Nearest neighbours"
    "</title><style>body{font:13px/1.4 system-ui,sans-serif;margin:1em}"
    "section{display:flex;flex-wrap:wrap;gap:6px;margin-bottom:1em}"
    "figure{margin:0;width:136px;overflow-wrap:anywhere}"
    "figure>*:first-child{display:block;width:128px;height:128px;border:4px solid #bbb}"
    "figure.query>*:first-child{border-color:#285ac8}"
    "figure.same>*:first-child{border-color:#009e3c}"
    "figure.other>*:first-child{border-color:#d5281e}</style></head><body>\n";

ps_page *ps_page_open(const char *path, const struct ps_gallery *gallery, ps_shard *shard)
{
    ps_page *page = ps_calloc(1, sizeof *page);
    if (!page)
        return NULL;
    *page = (ps_page){.out = ps_out_open(path), .gallery = gallery, .shard = shard};
    if (page->out) {
        fputs(head, ps_out_stream(page->out));
        return page;
    }
    free(page);
    return NULL;
}

int ps_page_close(ps_page *page, int rc)
{
    if (!page)
        return rc;
    if (!rc && page->missing)
        ps_warn("%zu pictures of the page were not found (--shard FILE names the embedded shard)",
                page->missing);
    fputs("</body></html>\n", ps_out_stream(page->out));
    rc = rc ? ps_out_abort(page->out) : ps_out_commit(page->out);
    free(page);
    return rc;
}

static int add_record(struct ps_text *html, const struct ps_record *record)
{
    int rc = ps_text_printf(html, "<img alt=\"\" src=\"");
    if (!rc)
        rc = ps_svg_add_record(html, record, 2 * SIDE);
    return rc ? rc : ps_text_printf(html, "\">");
}

/* Adds the picture of a row of an embedding; a failure that is the picture's own is its absence. */
static int add_row(ps_page *page, struct ps_text *html, const struct ps_embedding *from, size_t row)
{
    const char *shard = ps_embedding_meta(from, "shard_id");
    struct ps_picture picture = {0};
    struct ps_record record;
    bool packed = page->shard && shard && !strcmp(shard, ps_shard_id(page->shard)) &&
                  from->id[row] >= 0 && (size_t)from->id[row] < ps_shard_count(page->shard);
    int rc = packed ? ps_shard_get(page->shard, (size_t)from->id[row], &record) : PS_OK;
    if (!packed && from->name) {
        picture.name = ps_strdup(from->name[row]);
        rc = picture.name ? ps_picture_check(&picture) : PS_ENOMEM;
        record = ps_picture_record(&picture);
    }
    if (!rc && (packed || from->name))
        rc = add_record(html, &record);
    else if (!rc || ps_is_image_fault(rc)) {
        page->missing++;
        rc = ps_text_printf(html, "<div></div>");
    }
    ps_picture_free(&picture);
    return rc;
}

static int add_caption(struct ps_text *html, const char *title, const char *class, int length)
{
    char *name = ps_asprintf("%.*s", length, class);
    int rc = name ? ps_text_printf(html, "<figcaption>") : PS_ENOMEM;
    if (!rc)
        rc = ps_svg_add_text(html, title);
    if (!rc)
        rc = ps_text_printf(html, "<br>");
    if (!rc)
        rc = ps_svg_add_text(html, name);
    free(name);
    return rc ? rc : ps_text_printf(html, "</figcaption></figure>\n");
}

static const char *class_of_query(const struct ps_asked *asked, int *length)
{
    *length = 0;
    return asked->from ? ps_embedding_class(asked->from, asked->from->label[asked->row], length)
                       : NULL;
}

static int add_query(ps_page *page, struct ps_text *html, const struct ps_answer *answer,
                     const struct ps_asked *asked)
{
    int length, rc = ps_text_printf(html, "<section>\n<figure class=\"query\">");
    const char *class = class_of_query(asked, &length);
    if (!rc)
        rc = asked->picture ? add_record(html, asked->picture)
                            : add_row(page, html, asked->from, asked->row);
    return rc ? rc : add_caption(html, answer->query, class ? class : "", length);
}

static int add_neighbour(ps_page *page, struct ps_text *html, const struct ps_answer *answer,
                         size_t i, const struct ps_asked *asked)
{
    const struct ps_embedding *rows = &page->gallery->rows;
    size_t row = (size_t)answer->row[i];
    char number[32];
    int length, wanted;
    const char *class = ps_gallery_class(page->gallery, answer->row[i], number, &length);
    const char *own = class_of_query(asked, &wanted);
    bool same = wanted == length && own && !memcmp(own, class, (size_t)length);
    int rc = ps_text_printf(html, "<figure class=\"%s\">", !wanted ? "" : same ? "same" : "other");
    if (!rc)
        rc = add_row(page, html, rows, row);
    char *title = ps_asprintf("%.3f %s", (double)answer->score[i],
                              rows->name ? ps_path_base(rows->name[row]) : "");
    if (!rc)
        rc = title ? add_caption(html, title, class, length) : PS_ENOMEM;
    free(title);
    return rc;
}

int ps_page_add(ps_page *page, const struct ps_answer *answer, const struct ps_asked *asked)
{
    struct ps_text html = {0};
    int rc = add_query(page, &html, answer, asked);
    for (size_t i = 0; i < answer->count && !rc; i++)
        rc = add_neighbour(page, &html, answer, i, asked);
    if (!rc)
        rc = ps_text_printf(&html, "</section>\n");
    if (!rc)
        fwrite(html.data, 1, html.length, ps_out_stream(page->out));
    ps_text_free(&html);
    return rc;
}
