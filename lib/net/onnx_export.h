/*
 * A model as an ONNX file: opset 13, BN folded into the convolutions, any batch size.
 *
 *     image (N, 3, S, S)   float32, normalised: channel c is (v[order[c]] / range - mean[c]) /
 * std[c] for 8-bit R, G, B; all of it is in the file's metadata, named as in a model file embedding
 * (N, D)     float32, not normalised
 */
#ifndef PS_NET_ONNX_EXPORT_H
#define PS_NET_ONNX_EXPORT_H

#include "net/model.h"

#include <stdio.h>

/* Writes to a stream, or atomically to a path ("-" is stdout). */
int ps_onnx_export(FILE *stream, const struct ps_model *model);
int ps_onnx_save(const char *path, const struct ps_model *model);

#endif
