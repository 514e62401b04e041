#include "data/transform.h"
#include "base/err.h"
#include "data/image.h"
#include "data/jpeg.h"
#include "data/resample.h"

#include <math.h>

static const double least_area = 0.08, least_ratio = 3.0 / 4, most_ratio = 4.0 / 3;

static int32_t half_even(double x)
{
    return (int32_t)rint(x);
}

/* The largest centred box with an allowed aspect ratio. */
static struct ps_box central(int32_t width, int32_t height)
{
    struct ps_box box = {0, 0, width, height};
    double ratio = (double)width / height;
    if (ratio < least_ratio)
        box.height = half_even(width / least_ratio);
    else if (ratio > most_ratio)
        box.width = half_even(height * most_ratio);
    if (box.width < 1)
        box.width = 1;
    if (box.height < 1)
        box.height = 1;
    box.x = (width - box.width) / 2;
    box.y = (height - box.height) / 2;
    return box;
}

struct ps_box ps_random_crop(struct ps_rng *rng, int32_t width, int32_t height)
{
    double low = log(least_ratio), high = log(most_ratio);
    for (int try = 0; try < 10; try++) {
        double area =
            (double)width * height * (least_area + (1 - least_area) * ps_rng_uniform(rng));
        double ratio = exp(low + (high - low) * ps_rng_uniform(rng));
        double w = rint(sqrt(area * ratio)), h = rint(sqrt(area / ratio));
        if (w < 1 || h < 1 || w > width || h > height)
            continue;
        struct ps_box box = {.width = (int32_t)w, .height = (int32_t)h};
        box.y = (int32_t)ps_rng_below(rng, (uint64_t)(height - box.height) + 1);
        box.x = (int32_t)ps_rng_below(rng, (uint64_t)(width - box.width) + 1);
        return box;
    }
    return central(width, height);
}

/* What is done to an image of width x height: a box is resized, and part of the result is kept. */
struct plan {
    struct ps_box box;
    int32_t width, height; /* of the resized box */
    int32_t left, top;     /* of the S x S part that is kept */
    bool flip;
};

static int plan_test(struct plan *plan, const struct ps_transform *transform, int32_t width,
                     int32_t height, const char *name)
{
    int32_t size = transform->size, side = transform->resize;
    if (side == 0)
        side = half_even(size * 256.0 / 224);
    if (side < size)
        return ps_fail(PS_EINVAL, "resize %d is smaller than crop %d", (int)side, (int)size);
    double longer = width > height ? width : height, shorter = width > height ? height : width;
    double stretched = floor(side * longer / shorter);
    if (stretched > INT32_MAX / 4)
        return ps_fail(PS_EFORMAT, "%s: %d x %d pixels: aspect ratio too extreme", name, (int)width,
                       (int)height);
    *plan = (struct plan){.box = {0, 0, width, height}, .width = side, .height = side};
    if (width > height)
        plan->width = (int32_t)stretched;
    else
        plan->height = (int32_t)stretched;
    plan->left = half_even((plan->width - size) / 2.0);
    plan->top = half_even((plan->height - size) / 2.0);
    return PS_OK;
}

static struct plan plan_train(const struct ps_transform *transform, int32_t width, int32_t height,
                              struct ps_rng *rng)
{
    struct plan plan = {.width = transform->size, .height = transform->size};
    plan.box = ps_random_crop(rng, width, height);
    plan.flip = ps_rng_uniform(rng) < 0.5;
    return plan;
}

/* Scale denominator for libjpeg: 1, 2, 4 or 8. Leaves at least a threefold reduction to the filter,
 * so the result stays close to the exact one (tests/peer). */
static int32_t reduction(const struct plan *plan)
{
    int32_t by = 8;
    while (by > 1 &&
           (plan->box.width < 3.0 * by * plan->width || plan->box.height < 3.0 * by * plan->height))
        by /= 2;
    return by;
}

/* The pixels of the image, reduced, that lie in `need`; *view shows them. */
static int fetch(const struct ps_record *record, bool partly, bool orient, int32_t by,
                 const struct ps_box *need, struct ps_image *image, struct ps_view *view)
{
    int32_t left = 0;
    int rc = partly ? ps_jpeg_decode(image, &left, record->bytes, record->length, 8 / by, need,
                                     record->name)
                    : ps_image_decode(image, record->bytes, record->length, orient, record->name);
    if (rc)
        return rc;
    *view = (struct ps_view){image->pixels, partly ? need->x - left : 0, partly ? need->y : 0,
                             image->width, image->height};
    if (view->x0 + image->width < need->x + need->width ||
        view->y0 + image->height < need->y + need->height)
        return ps_fail(PS_EFORMAT, "%s: image is smaller than stated in its record", record->name);
    return PS_OK;
}

static int run(const struct plan *plan, const struct ps_record *record, bool orient,
               struct ps_axis *columns, struct ps_axis *rows, struct ps_image *image, int32_t size,
               uint8_t *out)
{
    bool partly = !orient && ps_is_jpeg(record->bytes, record->length);
    int32_t by = partly ? reduction(plan) : 1;
    const struct ps_box *box = &plan->box;
    int rc = ps_axis_make(columns, (double)box->x / by, (double)box->width / by, plan->width,
                          plan->left, size);
    if (!rc)
        rc = ps_axis_make(rows, (double)box->y / by, (double)box->height / by, plan->height,
                          plan->top, size);
    if (rc)
        return rc;
    if (plan->flip)
        ps_axis_flip(columns);
    int32_t right, bottom;
    struct ps_box need;
    ps_axis_span(columns, &need.x, &right);
    ps_axis_span(rows, &need.y, &bottom);
    need.width = right - need.x;
    need.height = bottom - need.y;
    struct ps_view view;
    rc = fetch(record, partly, orient, by, &need, image, &view);
    return rc ? rc : ps_resample(&view, columns, rows, out);
}

int ps_transform_apply(const struct ps_transform *transform, const struct ps_record *record,
                       struct ps_rng *rng, uint8_t *out)
{
    if (transform->size < 1 || record->width < 1 || record->height < 1 ||
        (int64_t)record->width * record->height > PS_IMAGE_MOST_PIXELS)
        return ps_fail(PS_EINVAL, "%s: cannot transform %u x %u to %d x %d", record->name,
                       record->width, record->height, (int)transform->size, (int)transform->size);
    int32_t width = (int32_t)record->width, height = (int32_t)record->height;
    bool orient = false;
    if (transform->orient) {
        int orientation = ps_image_orientation(record->bytes, record->length);
        orient = orientation > 1;
        if (orientation >= 5) {
            width = (int32_t)record->height;
            height = (int32_t)record->width;
        }
    }
    struct plan plan;
    int rc = PS_OK;
    if (transform->train)
        plan = plan_train(transform, width, height, rng);
    else
        rc = plan_test(&plan, transform, width, height, record->name);
    if (rc)
        return rc;
    struct ps_axis columns = {0}, rows = {0};
    struct ps_image image = {0};
    rc = run(&plan, record, orient, &columns, &rows, &image, transform->size, out);
    ps_axis_free(&columns);
    ps_axis_free(&rows);
    ps_image_free(&image);
    return rc;
}
