/*
 * Builds an ONNX model. The first failure is kept in onnx->rc and turns later calls into no-ops, so
 * it is checked once, at the end. Strings are copied.
 */
#ifndef PS_WEIGHTS_ONNX_H
#define PS_WEIGHTS_ONNX_H

#include "lib/weights/onnx.pb-c.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct ps_onnx {
    Onnx__GraphProto graph;
    Onnx__ModelProto model;
    size_t node_capacity, initializer_capacity, input_capacity, output_capacity, meta_capacity;
    void **owned;
    size_t owned_count, owned_capacity;
    int rc;
};

/* An empty model for an operator set version, with metadata (pairs of name and value). */
void ps_onnx_init(struct ps_onnx *onnx, const char *name, const char *description, int opset,
                  const char *const *metadata, size_t pairs);
void ps_onnx_free(struct ps_onnx *onnx);

/* Adds a node with one output. Attributes apply to the last node. */
void ps_onnx_node(struct ps_onnx *onnx, const char *op, const char *output, int inputs,
                  const char *const *input);
void ps_onnx_attribute(struct ps_onnx *onnx, const char *name, int64_t value);
void ps_onnx_attributes(struct ps_onnx *onnx, const char *name, int count, const int64_t *values);

/* Adds a float32 initializer and returns its data, to be filled in; NULL after a failure. */
float *ps_onnx_constant(struct ps_onnx *onnx, const char *name, int ndim, const int64_t *shape);

/* Declares an input or output of shape (N, shape...) with dynamic N. */
void ps_onnx_input(struct ps_onnx *onnx, const char *name, int ndim, const int64_t *shape);
void ps_onnx_output(struct ps_onnx *onnx, const char *name, int ndim, const int64_t *shape);

int ps_onnx_write(struct ps_onnx *onnx, FILE *stream);

#endif
