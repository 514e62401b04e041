/* Nodes that share what they derive from parameters (node_share) of the cpu backend: updating one
 * updates both, and either may be freed first. */
#include "kernels/levels.h"
#include "tests/backend/asserts.h"

static ps_backend *be;

static void check_run(struct op_run *r, const struct op_case *c, const struct op_values *v,
                      struct op_run *reference)
{
    char text[CASE_TEXT];
    need(!be->ops->node_forward(be, r->node, r->params, r->state), be, "node_forward");
    run_backward(r, v->dout, r->grads, false);
    struct op_run *const runs[2] = {reference, r};
    float *out[2], *din[2], *grads[2];
    for (int i = 0; i < 2; i++) {
        out[i] = act_values(be, runs[i]->out, c->out);
        din[i] = act_values(be, runs[i]->din[0], c->in[0]);
        grads[i] = vec_values(be, runs[i]->grads, c->params);
    }
    assert_close(case_text(c, text), "output", out[0], out[1], shape_count(c->out), 0);
    assert_close(text, "gradient of the input", din[0], din[1], shape_count(c->in[0]), 0);
    assert_close(text, "gradients of the parameters", grads[0], grads[1], c->params, 0);
    for (int i = 0; i < 2; i++) {
        free(out[i]);
        free(din[i]);
        free(grads[i]);
    }
}

static void check(struct ps_rng *rng, bool first_leaves)
{
    const bool wanted[CASE_INPUTS] = {true, true, true, true};
    struct op_case c = case_random(rng, PS_OP_CONV, between(rng, 1, 12), 16 * between(rng, 1, 4));
    struct op_values v = case_values(rng, &c);
    struct op_run run[2];
    for (int i = 0; i < 2; i++) {
        run[i] = run_new(be, &c, PS_TRAIN, &v, wanted);
        run_forward(&run[i]);
    }
    need(!be->ops->node_share(be, run[1].node, run[0].node), be, "node_share");
    for (size_t i = 0; i < c.params; i++)
        v.params[i] = -2 * v.params[i];
    struct op_run alone = run_new(be, &c, PS_TRAIN, &v, wanted);
    run_forward(&alone);
    run_backward(&alone, v.dout, alone.grads, false);
    run_put(&run[0], &c, &v);
    run_put(&run[1], &c, &v);
    need(!be->ops->node_update(be, run[1].node, run[1].params, run[1].state), be, "node_update");
    check_run(&run[0], &c, &v, &alone);
    check_run(&run[1], &c, &v, &alone);
    run_free(&run[!first_leaves], &c);
    struct op_run *left = &run[first_leaves];
    need(!be->ops->node_update(be, left->node, left->params, left->state), be, "node_update");
    check_run(left, &c, &v, &alone);
    run_free(left, &c);
    run_free(&alone, &c);
    values_free(&v);
}

static void test_share(void **state)
{
    (void)state;
    enum { CASES = 20 };
    be = open_backend(ps_backend_cpu(), PS_PRECISION_FP32, NULL);
    for (int i = 0; i < CASES; i++) {
        struct ps_rng rng = ps_rng_stream(14, PS_RNG_TEST, 0, (uint64_t)i);
        check(&rng, i % 2);
    }
    be->ops->close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_share)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
