/* A self-contained HTML report. */
#ifndef PS_VIEW_REPORT_H
#define PS_VIEW_REPORT_H

#include <stddef.h>

/*
 * Includes the files in order: .md (pipe tables and paragraphs) as HTML, .svg as
 * part of the document, .png and .jpg embedded, any other file as text. File names become headings.
 */
int ps_report_write(const char *title, char *const *files, size_t count, const char *path);

#endif
