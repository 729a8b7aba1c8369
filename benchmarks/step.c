/* A training step of a sigmoid network under the mean squared error, with SGD, as one writes it by
   hand: a loop per product, bias and activation in the loop of the product, and no allocation.
   `sizes` has `layers` + 1 numbers; weight (out, in) and bias of each layer follow one another in
   `parameters`. `y` holds the outputs of all layers, `d` two layers' worth of gradients. */
#include <math.h>

#define WIDEST 64 /* outputs of a layer, for which there is memory */

void train_step(int layers, const int *sizes, int n, double rate, double **parameters, const double *x,
          const double *target, double *y, double *d, double *loss)
{
    const double *input = x;
    double *output = y;
    for (int l = 0; l < layers; l++) {
        const int in = sizes[l], out = sizes[l + 1];
        const double *restrict w = parameters[2 * l], *restrict b = parameters[2 * l + 1];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < out; j++) {
                double z = b[j];
                for (int k = 0; k < in; k++)
                    z += input[i * in + k] * w[j * in + k];
                output[i * out + j] = z;
            }
        for (int i = 0; i < n * out; i++)
            output[i] = 1 / (1 + exp(-output[i]));
        input = output;
        output += n * out;
    }
    const int last = n * sizes[layers];
    double *g = d, *h = d + n * WIDEST, sum = 0;
    output -= last;
    for (int i = 0; i < last; i++) {
        const double error = output[i] - target[i];
        sum += error * error;
        g[i] = 2.0 / last * error * output[i] * (1 - output[i]);
    }
    *loss = sum / last;
    for (int l = layers - 1; l >= 0; l--) {
        const int in = sizes[l], out = sizes[l + 1];
        double *restrict w = parameters[2 * l], *restrict b = parameters[2 * l + 1];
        const double *restrict below = l ? output - n * in : x;
        if (l) {
            for (int i = 0; i < n; i++)
                for (int k = 0; k < in; k++) {
                    double sum = 0;
                    for (int j = 0; j < out; j++)
                        sum += g[i * out + j] * w[j * in + k];
                    h[i * in + k] = sum * below[i * in + k] * (1 - below[i * in + k]);
                }
        }
        for (int j = 0; j < out; j++)
            for (int k = 0; k < in; k++) {
                double sum = 0;
                for (int i = 0; i < n; i++)
                    sum += g[i * out + j] * below[i * in + k];
                w[j * in + k] -= rate * sum;
            }
        for (int j = 0; j < out; j++) {
            double sum = 0;
            for (int i = 0; i < n; i++)
                sum += g[i * out + j];
            b[j] -= rate * sum;
        }
        output -= n * in;
        double *swapped = g;
        g = h;
        h = swapped;
    }
}

/* `steps` steps, each on the n rows of `x` and `target` that `order` names, gathered first. */
void train_epoch(int steps, const long *order, int layers, const int *sizes, int n, double rate,
           double **parameters, const double *x, const double *target, double *y, double *d,
           double *rows, double *loss)
{
    const int in = sizes[0], out = sizes[layers];
    for (int s = 0; s < steps; s++) {
        double *targets = rows + n * in;
        for (int i = 0; i < n; i++) {
            const long row = order[s * n + i];
            for (int k = 0; k < in; k++)
                rows[i * in + k] = x[row * in + k];
            for (int k = 0; k < out; k++)
                targets[i * out + k] = target[row * out + k];
        }
        train_step(layers, sizes, n, rate, parameters, rows, targets, y, d, loss + s);
    }
}
