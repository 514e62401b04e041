/*
 * Exports a model to ONNX: opset 13, batch norm folded into the convolutions, dynamic batch size.
 *
 *     image (N, 3, S, S)  float32: (v[channels[c]] / range - mean[c]) / std[c] of 8-bit RGB v; the
 *                         constants are in the metadata, named as in a model file
 *     embedding (N, D)    float32, not L2-normalised
 */
#ifndef PS_NET_ONNX_EXPORT_H
#define PS_NET_ONNX_EXPORT_H

#include "net/model.h"

#include <stdio.h>

/* Write to a stream, or atomically to a path ("-" is stdout). */
int ps_onnx_export(FILE *stream, const struct ps_model *model);
int ps_onnx_save(const char *path, const struct ps_model *model);

#endif
