/*
 * Prints the embedding of a picture by a model file, one number a line:
 *     cc embed.c $(pkg-config --cflags --libs proxy-synthesis) -o embed
 *     ./embed run/last.safetensors photo.jpg
 */
#include <ps/base/err.h>
#include <ps/base/file.h>
#include <ps/data/image.h>
#include <ps/data/transform.h>
#include <ps/net/device.h>
#include <ps/net/model.h>

#include <stdio.h>
#include <stdlib.h>

static int embed(const struct ps_model *model, ps_net *net, const char *path)
{
    void *file;
    struct ps_record record = {.name = path};
    struct ps_image image = {0};
    if (ps_file_read(path, 1 << 28, &file, &record.length) ||
        ps_image_decode(&image, file, record.length, false, path))
        return -1;
    record.bytes = file;
    record.width = (uint32_t)image.width;
    record.height = (uint32_t)image.height;

    struct ps_transform transform = {.size = model->spec.size, .resize = model->resize};
    uint8_t *pixels = malloc((size_t)3 * transform.size * transform.size);
    size_t dim = ps_net_dim(net);
    float *x = malloc(sizeof *x * dim);
    ps_backend *be = ps_net_backend(net);
    struct ps_mat embedding;
    int rc = ps_transform_apply(&transform, &record, NULL, pixels);
    if (!rc)
        rc = ps_net_forward(net, PS_INFER, pixels, 1, &embedding);
    if (!rc && be->ops->vec_get(be, embedding.v, embedding.offset, x, dim))
        rc = ps_device_fail(be);
    for (size_t i = 0; i < dim && !rc; i++)
        printf("%.9g\n", x[i]);
    free(x);
    free(pixels);
    ps_image_free(&image);
    free(file);
    return rc;
}

int main(int argc, char **argv)
{
    struct ps_model model;
    if (argc != 3 || ps_model_open(&model, argv[1]))
        return fprintf(stderr, "usage: embed MODEL PICTURE %s\n", ps_error()), 2;
    ps_backend *be = ps_device_open("cpu", &(struct ps_backend_config){0});
    ps_net *net = be ? ps_model_net(&model, be, false) : NULL;
    int rc = net ? embed(&model, net, argv[2]) : -1;
    if (rc)
        fprintf(stderr, "embed: %s\n", ps_error());
    ps_net_free(net);
    ps_device_close(be);
    ps_model_close(&model);
    return rc != 0;
}
