/* One HTML file that holds everything: opens without a network, can be mailed. */
#ifndef PS_VIEW_REPORT_H
#define PS_VIEW_REPORT_H

#include <stddef.h>

/*
 * files, in order: .md (pipe tables and paragraphs) becomes HTML, .svg .png .jpg are embedded, any
 * other file is shown as text. Headings come from the file names.
 */
int ps_report_write(const char *title, char *const *files, size_t count, const char *path);

#endif
