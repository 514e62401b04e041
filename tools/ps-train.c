#include "base/config.h"
#include "base/err.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/opthelp.h"
#include "base/process.h"
#include "base/ranks.h"
#include "eval/results.h"
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

/* "ps-train --help TOPIC" */
static bool wants_help(int argc, char **argv, const char *topic)
{
    return argc == 3 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) &&
           !strcmp(argv[2], topic);
}

static void print_losses(void)
{
    ps_print_wrapped("x: embedding, p: proxy of a class, CE: softmax cross-entropy over the "
                     "classes, averaged over the batch. s is --scale, m is --margin; by default "
                     "those of the loss.",
                     0, 0);
    for (size_t i = 0; i < ps_loss_kind_count; i++) {
        const struct ps_loss_kind *kind = &ps_loss_kinds[i];
        printf("\n%s\n    ", kind->name);
        ps_print_wrapped(kind->formula, 4, 4);
        printf("    defaults: s = %g", kind->scale);
        if (kind->m > 0)
            printf(", m = %g", kind->m);
        if (kind->centers > 1)
            printf(", K = %ld (--centers), gamma = %g, tau = %g", kind->centers, kind->gamma,
                   kind->tau);
        putchar('\n');
    }
    printf("\n");
    ps_print_wrapped("--label-smoothing X replaces the label of every CE by 1 - X times it and X "
                     "spread evenly over all classes, synthetic and virtual ones among them. "
                     "--temperature T is s = 1 / T.",
                     0, 0);
    printf("\nRegularisers (--regularizer)\n"
           "    ps              Proxy Synthesis: --ps-mu synthetic classes per sample, each\n"
           "                    with embedding and proxy interpolated between neighbours\n"
           "                    in the batch\n"
           "    mixup           mixes embeddings and labels of neighbours\n"
           "    manifold-mixup  mixes images or raw embeddings, chosen per batch, and labels\n"
           "    virtual         virtual softmax: an extra class at cosine 1 to every\n"
           "                    embedding\n"
           "    none            no regulariser\n"
           "Interpolation coefficients are drawn from Beta(--ps-alpha, --ps-alpha).\n");
}

static int print_metrics(const struct ps_train_settings *settings, const struct ps_evaluation *e)
{
    const struct ps_retrieval *r = &e->retrieval;
    long *k = NULL;
    size_t count = 0;
    struct ps_results results = {0};
    int rc = ps_parse_longs("--k-list", settings->k_list, 1, &k, &count);
    for (size_t i = 0; i < count && !rc; i++) {
        char name[32];
        snprintf(name, sizeof name, "recall@%ld", k[i]);
        rc = ps_results_real(&results, name, r->recall[i]);
    }
    if (!rc)
        rc = ps_results_real(&results, "rp", r->rp);
    if (!rc)
        rc = ps_results_real(&results, "map@r", r->map_at_r);
    if (!rc && settings->nmi)
        rc = ps_results_real(&results, "nmi", e->nmi);
    if (!rc)
        rc = ps_results_write_tsv(&results, stdout);
    ps_results_free(&results);
    free(k);
    return rc;
}

static int run(struct ps_train_settings *settings, const struct ps_command *command)
{
    int rc = ps_ranks_agree(ps_train_settings_complete(settings));
    if (rc)
        return rc;
    ps_interrupt_keep_writing();
    if (settings->eval_best) {
        struct ps_evaluation result;
        rc = ps_train_eval_best(settings, command->options, command->option_count, &result);
        if (!rc) {
            rc = ps_rank() == 0 ? print_metrics(settings, &result) : PS_OK;
            ps_evaluation_free(&result);
        }
        return rc;
    }
    return ps_train(settings, command->options, command->option_count);
}

int main(int argc, char **argv)
{
    ps_process_share_processors(argv);
    ps_log_program("ps-train");
    if (wants_help(argc, argv, "recipe"))
        return ps_opt_finish(&(struct ps_command){0}, ps_config_print_library(PS_TRAIN_RECIPES));
    if (wants_help(argc, argv, "loss")) {
        print_losses();
        return ps_opt_finish(&(struct ps_command){0}, PS_OK);
    }
    struct ps_train_settings settings = ps_train_settings_default();
    struct ps_command command = {
        .name = "ps-train",
        .synopsis = "[options] --data SHARD --output RUNDIR",
        .summary =
            "Trains an embedding network with proxy-based losses and Proxy Synthesis. Run "
            "the same command again to resume an interrupted run; a finished run is left alone.",
        .examples =
            "  ps-train --data train.mdb --eval test.mdb -o run --backbone resnet18 \\\n"
            "    --input-size 64 --dim 128 --ps-mu 1 --modellr 1e-3 --eps 1e-4 --epochs 12\n"
            "  ps-train --recipe proxy-anchor+ps --data train.mdb -o run --init resnet50.pth\n"
            "  ps-train --help loss\n",
    };
    command.options = ps_train_options(&settings, &command.option_count);
    int operands = 0;
    int rc = command.options ? ps_ranks_open() : PS_ENOMEM;
    if (!rc)
        rc = ps_opt_parse(&command, argc, argv, &operands);
    if (rc == PS_OPT_RUN && operands)
        rc = ps_fail(PS_EUSAGE, "'%s' is not an option (see --help)", argv[0]);
    rc = ps_ranks_agree(rc);
    if (rc == PS_OPT_RUN)
        rc = run(&settings, &command);
    int status = ps_opt_finish(&command, rc);
    ps_ranks_close();
    free(command.options);
    return status;
}
