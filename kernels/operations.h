/*
 * The functions of a backend: PS_OPERATION(result, name, arguments), or PS_OPTIONAL for those that
 * a backend may lack (NULL in its table). From this list backend.h makes struct ps_backend_ops, and
 * the backends their prototypes and tables. Define the macros before including it.
 */
#ifndef PS_OPTIONAL
#define PS_OPTIONAL PS_OPERATION
#endif

/* On failure NULL, with the reason in message[0..size). */
PS_OPERATION(ps_backend *, open,
             (const struct ps_backend_config *config, char *message, size_t size))
PS_OPERATION(void, close, (ps_backend * be))
PS_OPERATION(const char *, error, (const ps_backend *be))
/* Did the last failure run out of device memory? */
PS_OPTIONAL(bool, out_of_memory, (const ps_backend *be))
/* "v3, oneDNN 2.6.3, 2 threads", for logs. Owned by the backend. */
PS_OPERATION(const char *, describe, (const ps_backend *be))

/* Returns once the losses and sums of squares of all calls so far are written. */
PS_OPTIONAL(int, wait, (ps_backend * be))

/* Vectors: n real numbers, initially zero. put and get convert from and to host float32. */
PS_OPERATION(ps_vec *, vec_new, (ps_backend * be, size_t n))
PS_OPERATION(void, vec_free, (ps_backend * be, ps_vec *v))
PS_OPERATION(int, vec_put, (ps_backend * be, ps_vec *v, size_t offset, const float *x, size_t n))
PS_OPERATION(int, vec_get, (ps_backend * be, const ps_vec *v, size_t offset, float *x, size_t n))
PS_OPERATION(int, vec_zero, (ps_backend * be, ps_vec *v, size_t offset, size_t n))
/* y = a y + b x over n elements; y is not read if a = 0. */
PS_OPERATION(int, vec_axpby,
             (ps_backend * be, double a, ps_vec *y, size_t y_offset, double b, const ps_vec *x,
              size_t x_offset, size_t n))
/* Sum of squares, in float64; NaN or infinite if an element is. */
PS_OPERATION(int, vec_sum_squares,
             (ps_backend * be, const ps_vec *v, size_t offset, size_t n, double *out))

/* Activations lie at byte offsets in raw memory; those in use must not overlap. */
PS_OPERATION(ps_mem *, mem_new, (ps_backend * be, size_t bytes))
PS_OPERATION(void, mem_free, (ps_backend * be, ps_mem *mem))
/* Bytes of an activation of this shape, a multiple of the alignment. 0 on failure. */
PS_OPERATION(size_t, act_bytes, (ps_backend * be, struct ps_shape shape))
PS_OPERATION(ps_act *, act_new,
             (ps_backend * be, struct ps_shape shape, ps_mem *mem, size_t offset))
/*
 * A view of channels first..first+channels of another activation, in its memory; free it first.
 * Only out and dout may be views, those of a window pool or of a CONV or BN without a residual:
 * this makes an in-place concat.
 */
PS_OPTIONAL(ps_act *, act_view, (ps_backend * be, const ps_act *whole, int first, int channels))
PS_OPERATION(void, act_free, (ps_backend * be, ps_act *act))
/* Plain (N, C, H, W) float32 on the host. */
PS_OPERATION(int, act_put, (ps_backend * be, ps_act *act, const float *nchw))
PS_OPERATION(int, act_get, (ps_backend * be, const ps_act *act, float *nchw))
/* Starts copying the bytes of the next act_put_u8 to the device while it computes. */
PS_OPTIONAL(int, stage_u8, (ps_backend * be, const uint8_t *nhwc, size_t bytes))
/* (N, H, W, 3) RGB bytes on the host, normalised on the device. NULL: the staged ones. */
PS_OPERATION(int, act_put_u8,
             (ps_backend * be, ps_act *act, const uint8_t *nhwc, const struct ps_input_norm *norm))
/* dst += src, same shape. */
PS_OPERATION(int, act_add, (ps_backend * be, ps_act *dst, const ps_act *src))
/* Between an activation (N, C, 1, 1) and a matrix (N, C). */
PS_OPERATION(int, act_to_mat, (ps_backend * be, const ps_act *act, struct ps_mat out))
PS_OPERATION(int, act_from_mat, (ps_backend * be, ps_act *act, struct ps_mat in))

/*
 * Prepares an operator on given activations: forward reads in[0..inputs) and writes out. In
 * training (mode TRAIN) backward reads dL/dout from dout, which it may overwrite as scratch, and
 * writes dL/din[i] to din[i] (NULL: not wanted). For a residual input din[i] may be dout itself,
 * which then holds the gradient afterwards. dout and din are NULL for INFER.
 */
PS_OPERATION(ps_node *, node_new,
             (ps_backend * be, const struct ps_op_desc *desc, enum ps_mode mode, int inputs,
              ps_act *const *in, ps_act *out, ps_act *dout, ps_act *const *din))
PS_OPERATION(void, node_free, (ps_backend * be, ps_node *node))
/*
 * Horizontal fusion of 2 to PS_MOST_FUSED CONVs with the same input that run consecutively, forward
 * from the first to the last and backward in reverse; their outputs and gradients are all live at
 * once. 1: fused, since that is faster here; from now on update, forward and backward of the first
 * run all of them and must not be called for the others. 0: unchanged. -1: failed.
 */
PS_OPTIONAL(int, node_fuse, (ps_backend * be, ps_node *const *nodes, int count))
/* Call when parameters or statistics have changed: recomputes what is derived from them (folded,
 * packed). */
PS_OPTIONAL(int, node_update,
            (ps_backend * be, ps_node *node, const ps_vec *params, const ps_vec *state))
/*
 * Two training nodes of one operator and one shape, on other activations, fused alike: from now on
 * `node` uses what node_update derives for `like`, and updating either updates both. Either may be
 * freed first.
 */
PS_OPTIONAL(int, node_share, (ps_backend * be, ps_node *node, ps_node *like))
/* Only BN with batch statistics writes `state`. For INFER with ops->inference_keeps both may be
 * NULL. */
PS_OPERATION(int, node_forward,
             (ps_backend * be, ps_node *node, const ps_vec *params, ps_vec *state))
/* After node_forward. Parameter gradients are written to `grads` at the parameters' offsets, or
 * added if `accumulate`; NULL: not wanted (frozen). */
PS_OPERATION(int, node_backward,
             (ps_backend * be, ps_node *node, const ps_vec *params, const ps_vec *state,
              ps_vec *grads, bool accumulate))
/* "conv 64x56x56 -> 64x56x56 k3: winograd", for profiles. Owned by the node. */
PS_OPERATION(const char *, node_describe, (const ps_backend *be, const ps_node *node))

/* C = alpha op(A) op(B) + beta C, op the transpose where t* is set. C is not read if beta = 0. */
PS_OPERATION(int, gemm,
             (ps_backend * be, bool ta, bool tb, double alpha, struct ps_mat a, struct ps_mat b,
              double beta, struct ps_mat c))
/* y_i = x_i / max(||x_i||, 1e-12); norm[i] receives the divisor (rows). x and y may be the same. */
PS_OPERATION(int, normalize,
             (ps_backend * be, struct ps_mat x, struct ps_mat y, struct ps_mat norm))
/* dx_i (+)= (dy_i - (y_i . dy_i) y_i) / norm_i */
PS_OPERATION(int, normalize_grad,
             (ps_backend * be, struct ps_mat y, struct ps_mat norm, struct ps_mat dy,
              struct ps_mat dx, bool accumulate))
/* out_i = lambda_i x[first_i] + (1 - lambda_i) x[second_i], i < out.rows */
PS_OPERATION(int, interpolate,
             (ps_backend * be, struct ps_mat x, const int32_t *first, const int32_t *second,
              const float *lambda, struct ps_mat out))
/* dx[first_i] += lambda_i dout_i; dx[second_i] += (1 - lambda_i) dout_i. Fixed order. */
PS_OPERATION(int, interpolate_grad,
             (ps_backend * be, struct ps_mat dout, const int32_t *first, const int32_t *second,
              const float *lambda, struct ps_mat dx))
/*
 * z (R, C): cosines or raw logits in, dL/dz out, for L = mean over rows of the cross-entropy. label
 * (R). With mixed targets (label2 and weight, both NULL for none) the loss is weight_i times that
 * of label_i, margin included, plus 1 - weight_i times that of label2_i. Derivatives of SPHERE and
 * ARC are taken at z clamped to +-(1 - 1e-7), where they are finite.
 */
PS_OPERATION(int, softmax_loss,
             (ps_backend * be, struct ps_mat z, const int32_t *label, const int32_t *label2,
              const float *weight, const struct ps_softmax_desc *desc, double *loss))
/* S_ic = sum_k softmax_k(z_ick / gamma) z_ick; z (R, C K), s (R, C). */
PS_OPERATION(int, softtriple,
             (ps_backend * be, struct ps_mat z, int centers, double gamma, struct ps_mat s))
/* z is overwritten with dL/dz; s is softtriple's result. */
PS_OPERATION(int, softtriple_grad,
             (ps_backend * be, struct ps_mat z, int centers, double gamma, struct ps_mat s,
              struct ps_mat ds))
/* tau sum_{c, t<s} sqrt(2 - 2 w_ct . w_cs + 1e-5) / (C K (K-1)); w (C K, D) normalised rows; dw +=
 * its gradient. */
PS_OPERATION(int, softtriple_regularizer,
             (ps_backend * be, struct ps_mat w, int centers, double tau, struct ps_mat dw,
              double *loss))
/* z (R, C): cosines in, dL/dz out. Proxy-anchor loss (Losses in ps-method(7)). */
PS_OPERATION(int, proxy_anchor,
             (ps_backend * be, struct ps_mat z, const int32_t *label, double alpha, double delta,
              double *loss))

/*
 * For each row of query (Q, D) the k rows of gallery (N, D) with the largest inner products, in
 * float32 (no TF32), descending, ties by ascending index; NaN never counts. Row i of the gallery
 * has the index first + i. value and index (Q, k), on the host, are in and out: they hold the best
 * of earlier rows (index -1: an empty slot), so that a large gallery is searched in pieces of
 * ascending indices. k is at most PS_NEAREST_MOST.
 */
PS_OPTIONAL(int, nearest,
            (ps_backend * be, struct ps_mat query, struct ps_mat gallery, int32_t first, int k,
             float *value, int32_t *index))

/* Updates n elements from `offset` of params, m and v. m: first moment or momentum buffer; v:
 * second moment (not used by SGD). */
PS_OPERATION(int, update,
             (ps_backend * be, const struct ps_update_desc *desc, ps_vec *params,
              const ps_vec *grads, ps_vec *m, ps_vec *v, size_t offset, size_t n))

#undef PS_OPERATION
#undef PS_OPTIONAL
