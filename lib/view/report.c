#include "view/report.h"
#include "base/err.h"
#include "base/file.h"
#include "base/filekind.h"
#include "base/mem.h"
#include "data/format.h"

#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 256 << 20 };

static const char style[] =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;"
    "color:#222}h1,h2{line-height:1.2}table{border-collapse:collapse;margin:1em 0}"
    "td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}img,svg{max-width:100%;height:auto}"
    "pre{overflow-x:auto;background:#f6f6f6;padding:1em}";

static void print_escaped(FILE *to, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        switch (text[i]) {
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '&':
            fputs("&amp;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        default:
            fputc(text[i], to);
        }
    }
}

/* "recall-at-1.svg" -> "recall at 1" */
static void print_words(FILE *to, const char *path)
{
    const char *base = ps_path_base(path);
    size_t length = strcspn(base, ".");
    for (size_t i = 0; i < length; i++) {
        char letter = base[i] == '-' || base[i] == '_' ? ' ' : base[i];
        print_escaped(to, &letter, 1);
    }
}

static void print_row(FILE *to, const char *line, const char *cell)
{
    fputs("<tr>", to);
    line++;
    while (*line && strchr(line, '|')) {
        size_t length = strcspn(line, "|");
        fprintf(to, "<%s>", cell);
        print_escaped(to, line, length);
        fprintf(to, "</%s>", cell);
        line += length + 1;
    }
    fputs("</tr>\n", to);
}

/* Pipe tables, headings and paragraphs: what ps-table writes. */
static void print_markdown(FILE *to, char *text)
{
    bool table = false;
    for (char *line; (line = strsep(&text, "\n"));) {
        bool row = *line == '|';
        if (table && !row)
            fputs("</table>\n", to);
        if (row && !table)
            fputs("<table>\n", to);
        if (row && strspn(line, "|-: ") != strlen(line)) {
            print_row(to, line, table ? "td" : "th");
        } else if (!row && *line) {
            fputs("<p>", to);
            print_escaped(to, line, strlen(line));
            fputs("</p>\n", to);
        }
        table = row;
    }
    if (table)
        fputs("</table>\n", to);
}

/* The media type of a picture that browsers show, judged by its content; NULL: none. */
static const char *image_type(const char *path, const void *bytes, size_t length)
{
    switch (ps_format_of(bytes, length)) {
    case PS_FORMAT_JPEG:
        return "image/jpeg";
    case PS_FORMAT_PNG:
        return "image/png";
    case PS_FORMAT_WEBP:
        return "image/webp";
    case PS_FORMAT_GIF:
        return "image/gif";
    default:
        return ps_has_suffix(path, ".svg") && ps_is_text(bytes, length) ? "image/svg+xml" : NULL;
    }
}

/* Copies an SVG as part of the document: its names get a prefix, as two pictures may have the same.
 */
static void print_svg(FILE *to, const char *svg, const char *path, size_t number)
{
    static const char *const before_name[] = {" id=\"", " id='", "href=\"#", "href='#", "url(#"};
    fprintf(to, "<svg role=\"img\" aria-label=\"");
    print_words(to, path);
    fputc('"', to);
    for (const char *at = svg + strlen("<svg"); *at;) {
        size_t token = 0;
        for (size_t i = 0; i < sizeof before_name / sizeof *before_name && !token; i++)
            if (!strncmp(at, before_name[i], strlen(before_name[i])))
                token = strlen(before_name[i]);
        fwrite(at, 1, token ? token : 1, to);
        if (token)
            fprintf(to, "p%zu-", number);
        at += token ? token : 1;
    }
    fputc('\n', to);
}

static void print_content(FILE *to, const char *path, size_t number, char *bytes, size_t length)
{
    const char *type = image_type(path, bytes, length);
    const char *svg = ps_has_suffix(path, ".svg") ? strstr(bytes, "<svg") : NULL;
    fputs("<h2>", to);
    print_words(to, path);
    fputs("</h2>\n", to);
    if (svg && !strcasestr(svg, "<script")) {
        print_svg(to, svg, path, number);
    } else if (type) {
        gchar *encoded = g_base64_encode((const guchar *)bytes, length);
        fputs("<img alt=\"", to);
        print_words(to, path);
        fprintf(to, "\" src=\"data:%s;base64,%s\">\n", type, encoded);
        g_free(encoded);
    } else if (ps_has_suffix(path, ".md")) {
        print_markdown(to, bytes);
    } else {
        fputs("<pre>", to);
        print_escaped(to, bytes, strlen(bytes));
        fputs("</pre>\n", to);
    }
}

static int print_file(FILE *to, const char *path, size_t number)
{
    void *bytes;
    size_t length;
    int rc = ps_file_read(path, MOST_BYTES, &bytes, &length);
    if (rc)
        return rc;
    if (!image_type(path, bytes, length) && !ps_is_text(bytes, length))
        rc = ps_fail_kind(path, bytes, length, "a text or a picture (SVG, PNG, JPEG, WebP, GIF)");
    else
        print_content(to, path, number, bytes, length);
    free(bytes);
    return rc;
}

int ps_report_write(const char *title, char *const *files, size_t count, const char *path)
{
    if (!ps_has_suffix(path, ".html") && !ps_has_suffix(path, ".htm") && strcmp(path, "-") != 0)
        return ps_fail(PS_EUSAGE, "%s: the suffix must be .html", path);
    ps_out *out = ps_out_open(path);
    if (!out)
        return ps_error_code();
    FILE *to = ps_out_stream(out);
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>", to);
    print_escaped(to, title, strlen(title));
    fprintf(to, "</title><style>%s</style></head><body>\n<h1>", style);
    print_escaped(to, title, strlen(title));
    fputs("</h1>\n", to);
    for (size_t i = 0; i < count; i++)
        if (print_file(to, files[i], i))
            return ps_out_abort(out);
    fputs("</body></html>\n", to);
    return ps_out_commit(out);
}
