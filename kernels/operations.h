/*
 * The functions of a backend, one each: PS_OPERATION(result, name, arguments), or PS_OPTIONAL for
 * those that a backend may lack (NULL in its table). backend.h makes the struct of this list, the
 * backends their prototypes and tables; whoever includes it defines both macros first.
 */
#ifndef PS_OPTIONAL
#define PS_OPTIONAL PS_OPERATION
#endif

/* On failure NULL, with the reason in message[0..size). */
PS_OPERATION(ps_backend *, open,
             (const struct ps_backend_config *config, char *message, size_t size))
PS_OPERATION(void, close, (ps_backend * be))
PS_OPERATION(const char *, error, (const ps_backend *be))
/* Was device memory short in the last failure? */
PS_OPTIONAL(bool, out_of_memory, (const ps_backend *be))
/* "v3, oneDNN 2.6.3, 2 threads": what computes, for logs. Belongs to the backend. */
PS_OPERATION(const char *, describe, (const ps_backend *be))

/* Returns once the losses and sums of squares of all calls so far are there. */
PS_OPTIONAL(int, wait, (ps_backend * be))

/* Vectors: n real numbers, zero at first. put and get convert from and to host float32. */
PS_OPERATION(ps_vec *, vec_new, (ps_backend * be, size_t n))
PS_OPERATION(void, vec_free, (ps_backend * be, ps_vec *v))
PS_OPERATION(int, vec_put, (ps_backend * be, ps_vec *v, size_t offset, const float *x, size_t n))
PS_OPERATION(int, vec_get, (ps_backend * be, const ps_vec *v, size_t offset, float *x, size_t n))
PS_OPERATION(int, vec_zero, (ps_backend * be, ps_vec *v, size_t offset, size_t n))
/* y = a y + b x (n elements); a = 0 ignores what y held. */
PS_OPERATION(int, vec_axpby,
             (ps_backend * be, double a, ps_vec *y, size_t y_offset, double b, const ps_vec *x,
              size_t x_offset, size_t n))
/* Sum of squares, in float64; NaN or infinite where an element is. */
PS_OPERATION(int, vec_sum_squares,
             (ps_backend * be, const ps_vec *v, size_t offset, size_t n, double *out))

/* Activations are placed at byte offsets of raw memory; live ones must not overlap. */
PS_OPERATION(ps_mem *, mem_new, (ps_backend * be, size_t bytes))
PS_OPERATION(void, mem_free, (ps_backend * be, ps_mem *mem))
/* Bytes that an activation of this shape takes, a multiple of the alignment. 0 on failure. */
PS_OPERATION(size_t, act_bytes, (ps_backend * be, struct ps_shape shape))
PS_OPERATION(ps_act *, act_new,
             (ps_backend * be, struct ps_shape shape, ps_mem *mem, size_t offset))
/*
 * A view: channels `first` to first + channels of another activation, in its memory; freed before
 * that. Only out and dout of a node may be views, of a window pool, or of a CONV or BN without a
 * residual: that makes a concatenation without copies.
 */
PS_OPTIONAL(ps_act *, act_view, (ps_backend * be, const ps_act *whole, int first, int channels))
PS_OPERATION(void, act_free, (ps_backend * be, ps_act *act))
/* Plain (N, C, H, W) float32 on the host. */
PS_OPERATION(int, act_put, (ps_backend * be, ps_act *act, const float *nchw))
PS_OPERATION(int, act_get, (ps_backend * be, const ps_act *act, float *nchw))
/* Starts to copy the bytes of the next act_put_u8 to the device while that is at work. */
PS_OPTIONAL(int, stage_u8, (ps_backend * be, const uint8_t *nhwc, size_t bytes))
/* (N, H, W, 3) RGB bytes on the host, normalised on the device. NULL: what was staged last. */
PS_OPERATION(int, act_put_u8,
             (ps_backend * be, ps_act *act, const uint8_t *nhwc, const struct ps_input_norm *norm))
/* dst += src, same shape. */
PS_OPERATION(int, act_add, (ps_backend * be, ps_act *dst, const ps_act *src))
/* Between an activation (N, C, 1, 1) and a matrix (N, C). */
PS_OPERATION(int, act_to_mat, (ps_backend * be, const ps_act *act, struct ps_mat out))
PS_OPERATION(int, act_from_mat, (ps_backend * be, ps_act *act, struct ps_mat in))

/*
 * Prepares an operator on given activations. in[0..inputs) and out are read and written by forward.
 * For training (mode TRAIN) dout holds dL/dout when backward is called, which may overwrite it as
 * scratch, and din[i] (NULL: not wanted) receives dL/din[i]. For a residual input din[i] may be
 * dout itself: then the gradient that passes through is left there. dout and din are NULL for
 * INFER.
 */
PS_OPERATION(ps_node *, node_new,
             (ps_backend * be, const struct ps_op_desc *desc, enum ps_mode mode, int inputs,
              ps_act *const *in, ps_act *out, ps_act *dout, ps_act *const *din))
PS_OPERATION(void, node_free, (ps_backend * be, ps_node *node))
/*
 * Horizontal fusion of 2 to PS_MOST_FUSED CONVs with the same input that run one after the other,
 * forward from the first to the last and backward the other way; their outputs and gradients are
 * all live at once. 1: fused, since that is faster here: update, forward and backward of the first
 * are those of all from now on, and are not called for the others. 0: nothing has changed. -1:
 * failed.
 */
PS_OPTIONAL(int, node_fuse, (ps_backend * be, ps_node *const *nodes, int count))
/* Parameters or statistics changed: derives again what is kept of them (folded, reordered). */
PS_OPTIONAL(int, node_update,
            (ps_backend * be, ps_node *node, const ps_vec *params, const ps_vec *state))
/* `state` is written by BN with batch statistics only. For INFER with ops->inference_keeps both may
 * be NULL. */
PS_OPERATION(int, node_forward,
             (ps_backend * be, ps_node *node, const ps_vec *params, ps_vec *state))
/* After node_forward. Parameter gradients are written to `grads` at the parameters' offsets, or
 * added to what is there if `accumulate`; NULL: not wanted (frozen). */
PS_OPERATION(int, node_backward,
             (ps_backend * be, ps_node *node, const ps_vec *params, const ps_vec *state,
              ps_vec *grads, bool accumulate))
/* "conv 64x56x56 -> 64x56x56 k3: winograd", for profiles. Belongs to the node. */
PS_OPERATION(const char *, node_describe, (const ps_backend *be, const ps_node *node))

/* C = alpha op(A) op(B) + beta C, op is the transpose where t* is set. beta = 0 ignores C. */
PS_OPERATION(int, gemm,
             (ps_backend * be, bool ta, bool tb, double alpha, struct ps_mat a, struct ps_mat b,
              double beta, struct ps_mat c))
/* y_i = x_i / max(||x_i||, 1e-12); norm[i] receives the divisor (rows). x and y may be one. */
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
 * (R). Mixed targets (both NULL for none): weight_i times the loss whose target, with its margin,
 * is label_i, plus 1 - weight_i times the one whose target is label2_i. Derivatives of SPHERE and
 * ARC by z are those at z clamped to +-(1 - 1e-7), so that they are finite.
 */
PS_OPERATION(int, softmax_loss,
             (ps_backend * be, struct ps_mat z, const int32_t *label, const int32_t *label2,
              const float *weight, const struct ps_softmax_desc *desc, double *loss))
/* S_ic = sum_k softmax_k(z_ick / gamma) z_ick; z (R, C K), s (R, C). */
PS_OPERATION(int, softtriple,
             (ps_backend * be, struct ps_mat z, int centers, double gamma, struct ps_mat s))
/* z is overwritten with dL/dz; s as softtriple gave it. */
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
 * Of each row of query (Q, D) the k rows of gallery (N, D) with the largest inner products, each
 * product in float32 (no TF32): largest first, equal ones by ascending number; NaN is none. Row i
 * of the gallery has the number first + i. value, index (Q, k), on the host, are in and out: they
 * hold the best of earlier rows (an index of -1 is an empty slot), so that a large gallery is
 * searched in pieces of ascending numbers. k is at most PS_NEAREST_MOST.
 */
PS_OPTIONAL(int, nearest,
            (ps_backend * be, struct ps_mat query, struct ps_mat gallery, int32_t first, int k,
             float *value, int32_t *index))

/* params, m and v are updated over n elements from `offset`. m: first moment or momentum buffer; v:
 * second moment (not used by SGD). */
PS_OPERATION(int, update,
             (ps_backend * be, const struct ps_update_desc *desc, ps_vec *params,
              const ps_vec *grads, ps_vec *m, ps_vec *v, size_t offset, size_t n))

#undef PS_OPERATION
#undef PS_OPTIONAL
