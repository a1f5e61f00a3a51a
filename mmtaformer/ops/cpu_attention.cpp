// Sampling of the spatio-temporal deformable attention on the CPU, and its gradient.
//
// Built at the first call by cpu_library.py; cpu_attention.py says what goes in and out.
// The loops over samples and over channels have no branches, so that any compiler turns
// them into vector instructions. No two threads write to one place, and each sum has an
// order of its own: results do not depend on the number of threads.
//
// Symbols: B clips, Tv value frames, Tq query frames, S tokens, Lq queries, M heads,
// D channels per head, R relative frames, L levels, P points; K = L * P samples that a
// query and head takes from one frame.

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <vector>

namespace {

using at::IntArrayRef;
using at::Tensor;

// Samples that are worth handing to another thread: they take some 100 microseconds.
constexpr int64_t kSamplesPerTask = 4096;

// Where K samples lie along one axis.
template <typename T>
struct Axis {
  // Location in [0, 1] of a level of `size` pixels: origin + offset / divisor * scale.
  std::vector<T> size, origin, divisor, scale;
  // The pixels before and after: index, weight, and whether they exist (1 or 0). One
  // outside the level has weight 0 and the index of the level's border.
  std::vector<int32_t> low, high;
  std::vector<T> low_weight, high_weight, has_low, has_high;

  explicit Axis(int64_t samples) : low(samples), high(samples) {
    for (auto* array : {&size, &origin, &divisor, &scale, &low_weight, &high_weight,
                        &has_low, &has_high}) {
      array->resize(samples);
    }
  }

  // offset: that of sample k is number 2 * k.
  void find_neighbours(const T* offset) {
    find_neighbours(offset, size.size(), size.data(), origin.data(), divisor.data(),
                    scale.data(), low.data(), high.data(), low_weight.data(),
                    high_weight.data(), has_low.data(), has_high.data());
  }

 private:
  static void find_neighbours(const T* offset, int64_t samples, const T* size,
                              const T* origin, const T* divisor, const T* scale,
                              int32_t* low, int32_t* high, T* low_weight,
                              T* high_weight, T* has_low, T* has_high) {
    const T zero = 0, half = 0.5, one = 1;
#pragma omp simd
    for (int64_t k = 0; k < samples; ++k) {
      // Rounded as by mmcv and grid_sample: a simpler formula for the same position
      // moves it by up to 1e-5 pixels.
      const T location = origin[k] + offset[2 * k] / divisor[k] * scale[k];
      const T normalized = location + location - one;
      const T position = (normalized + one) * (size[k] * half) - half;
      // Written so that NaN ends at -1, where both weights are 0.
      T x = position > -one ? position : -one;
      x = x < size[k] ? x : size[k];
      const T cell = std::floor(x);
      const T last = size[k] - one;
      has_low[k] = (cell >= zero ? one : zero) * (cell <= last ? one : zero);
      has_high[k] = (x > -one ? one : zero) * (cell < last ? one : zero);
      low_weight[k] = has_low[k] * (one - (x - cell));
      high_weight[k] = has_high[k] * (x - cell);
      const T before = cell > zero ? cell : zero;
      low[k] = static_cast<int32_t>(before < last ? before : last);
      high[k] = static_cast<int32_t>(cell + one < last ? cell + one : last);
    }
  }
};

// Four pixels around a sample: (x0, y0), (x1, y0), (x0, y1), (x1, y1).
template <typename T>
struct Corners {
  int64_t row[4];  // how far their channels are from the level map's first token
  T weight[4];
};

// K samples of a query and head in one frame.
template <typename T>
struct Samples {
  int64_t count;
  Axis<T> x, y;

  Samples(IntArrayRef spatial_shapes, int64_t points)
      : count(static_cast<int64_t>(spatial_shapes.size()) / 2 * points),
        x(count),
        y(count),
        points_(points),
        first_token_(count),
        width_(count) {
    int64_t token = 0;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t height = spatial_shapes[k / points * 2];
      const int64_t width = spatial_shapes[k / points * 2 + 1];
      first_token_[k] = token;
      width_[k] = width;
      x.size[k] = x.divisor[k] = width;
      y.size[k] = y.divisor[k] = height;
      x.scale[k] = y.scale[k] = 1;
      if ((k + 1) % points == 0) {
        token += height * width;
      }
    }
  }

  // reference: x, y or cx, cy, w, h of the first level; `stride` numbers to the next.
  void find(const T* reference, int64_t stride, bool is_box, const T* offsets) {
    for (int64_t first = 0; first < count; first += points_, reference += stride) {
      for (int64_t k = first; k < first + points_; ++k) {
        x.origin[k] = reference[0];
        y.origin[k] = reference[1];
        if (is_box) {
          x.divisor[k] = y.divisor[k] = points_;
          x.scale[k] = reference[2] * T(0.5);
          y.scale[k] = reference[3] * T(0.5);
        }
      }
    }
    x.find_neighbours(offsets);
    y.find_neighbours(offsets + 1);
  }

  Corners<T> corners(int64_t k, int64_t token_stride, T attention_weight) const {
    const int64_t upper = first_token_[k] + y.low[k] * width_[k];
    const int64_t lower = first_token_[k] + y.high[k] * width_[k];
    const T top = attention_weight * y.low_weight[k];
    const T bottom = attention_weight * y.high_weight[k];
    return {{(upper + x.low[k]) * token_stride, (upper + x.high[k]) * token_stride,
             (lower + x.low[k]) * token_stride, (lower + x.high[k]) * token_stride},
            {top * x.low_weight[k], top * x.high_weight[k], bottom * x.low_weight[k],
             bottom * x.high_weight[k]}};
  }

 private:
  int64_t points_;
  std::vector<int64_t> first_token_, width_;
};

// out += sum of the values at the samples. D is the number of channels where the
// compiler shall know it, so that the sum stays in registers; otherwise 0.
template <typename T, int64_t D>
void gather(const Samples<T>& samples, const T* value, int64_t token_stride,
            const T* attention_weights, int64_t channels, T* __restrict out) {
  constexpr bool fixed = D > 0;
  T registers[fixed ? D : 1];
  T* __restrict sum = out;
  if constexpr (fixed) {
    channels = D;
    sum = registers;
    std::copy(out, out + D, sum);
  }
  for (int64_t k = 0; k < samples.count; ++k) {
    const Corners<T> at = samples.corners(k, token_stride, attention_weights[k]);
    const T *v0 = value + at.row[0], *v1 = value + at.row[1];
    const T *v2 = value + at.row[2], *v3 = value + at.row[3];
    const T w0 = at.weight[0], w1 = at.weight[1], w2 = at.weight[2], w3 = at.weight[3];
#pragma omp simd
    for (int64_t c = 0; c < (fixed ? D : channels); ++c) {
      sum[c] += (w0 * v0[c] + w1 * v1[c]) + (w2 * v2[c] + w3 * v3[c]);
    }
  }
  if constexpr (fixed) {
    std::copy(sum, sum + D, out);
  }
}

// Backward of gather() for the gradient of `out`. Adds to grad_value; writes the
// gradients of the positions, in pixels (K, 2), and of the attention weights (K).
template <typename T, int64_t D>
void scatter(const Samples<T>& samples, const T* value, int64_t token_stride,
             const T* attention_weights, int64_t channels, const T* __restrict gradient,
             T* grad_value, int64_t grad_stride, T* grad_positions, T* grad_weights) {
  const int64_t count = D > 0 ? D : channels;
  const Axis<T>&x = samples.x, &y = samples.y;
  for (int64_t k = 0; k < samples.count; ++k) {
    const T attention = attention_weights[k];
    const Corners<T> at = samples.corners(k, token_stride, attention);
    const Corners<T> to = samples.corners(k, grad_stride, attention);
    const T *v0 = value + at.row[0], *v1 = value + at.row[1];
    const T *v2 = value + at.row[2], *v3 = value + at.row[3];
    T d0 = 0, d1 = 0, d2 = 0, d3 = 0;  // gradients of the corners' weights
#pragma omp simd reduction(+ : d0, d1, d2, d3)
    for (int64_t c = 0; c < count; ++c) {
      d0 += gradient[c] * v0[c];
      d1 += gradient[c] * v1[c];
      d2 += gradient[c] * v2[c];
      d3 += gradient[c] * v3[c];
    }
    for (int corner = 0; corner < 4; ++corner) {  // two corners may be one pixel
      T* __restrict row = grad_value + to.row[corner];
      const T weight = at.weight[corner];
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) {
        row[c] += weight * gradient[c];
      }
    }
    const T x0 = x.low_weight[k], x1 = x.high_weight[k];
    const T y0 = y.low_weight[k], y1 = y.high_weight[k];
    grad_weights[k] = y0 * (x0 * d0 + x1 * d1) + y1 * (x0 * d2 + x1 * d3);
    const T left = y0 * d0 + y1 * d2, right = y0 * d1 + y1 * d3;
    const T above = x0 * d0 + x1 * d1, below = x0 * d2 + x1 * d3;
    grad_positions[2 * k] = attention * (x.has_high[k] * right - x.has_low[k] * left);
    grad_positions[2 * k + 1] =
        attention * (y.has_high[k] * below - y.has_low[k] * above);
  }
}

// The arguments of both directions.
template <typename T>
struct Inputs {
  Inputs(const Tensor& value, IntArrayRef spatial_shapes, const Tensor& references,
         const Tensor& offsets, const Tensor& weights, IntArrayRef relative_frames,
         int64_t first_frame)
      : value(value),
        references(references),
        spatial_shapes(spatial_shapes),
        relative_frames(relative_frames),
        first_frame(first_frame),
        clips(value.size(0)),
        value_frames(value.size(1)),
        tokens(value.size(2)),
        heads(value.size(3)),
        channels(value.size(4)),
        frames(weights.size(1)),
        queries(weights.size(2)),
        points(weights.size(6)),
        samples(weights.size(5) * points),
        token_stride(value.stride(2)),
        value_data(value.const_data_ptr<T>()),
        reference_data(references.const_data_ptr<T>()),
        offset_data(offsets.const_data_ptr<T>()),
        weight_data(weights.const_data_ptr<T>()) {}

  // Number of a query and head in the order of (B, Tq, Lq, M).
  int64_t number(int64_t clip, int64_t frame, int64_t query, int64_t head) const {
    return ((clip * frames + frame) * queries + query) * heads + head;
  }

  // Number of it and a relative frame in the order of (B, Tq, Lq, M, R).
  int64_t number(int64_t query_and_head, size_t relative) const {
    return query_and_head * static_cast<int64_t>(relative_frames.size()) + relative;
  }

  const T* head_of_frame(int64_t clip, int64_t frame, int64_t head) const {
    return value_data + clip * value.stride(0) + frame * value.stride(1) +
           head * value.stride(3);
  }

  void find(Samples<T>& found, int64_t clip, int64_t frame, int64_t query,
            int64_t number) const {
    const T* reference = reference_data + clip * references.stride(0) +
                         frame * references.stride(1) + query * references.stride(2);
    found.find(reference, references.stride(3), references.size(4) == 4,
               offset_data + number * samples * 2);
  }

  const Tensor &value, &references;
  IntArrayRef spatial_shapes, relative_frames;
  int64_t first_frame, clips, value_frames, tokens, heads, channels, frames, queries;
  int64_t points, samples, token_stride;
  const T *value_data, *reference_data, *offset_data, *weight_data;
};

// Items start..stop-1 of (B, Tq, M, Lq): head by head, so that what neighbouring
// queries sample stays in cache.
template <typename T, int64_t D>
void forward_items(const Inputs<T>& in, int64_t start, int64_t stop, T* output) {
  Samples<T> samples(in.spatial_shapes, in.points);
  for (int64_t item = start; item < stop; ++item) {
    const int64_t query = item % in.queries;
    const int64_t head = item / in.queries % in.heads;
    const int64_t frame = item / (in.queries * in.heads) % in.frames;
    const int64_t clip = item / (in.queries * in.heads * in.frames);
    const int64_t at = in.number(clip, frame, query, head);
    T* out = output + at * in.channels;
    std::fill_n(out, in.channels, T(0));
    for (size_t r = 0; r < in.relative_frames.size(); ++r) {
      const int64_t source = in.first_frame + frame + in.relative_frames[r];
      if (source < 0 || source >= in.value_frames) {
        continue;
      }
      const int64_t part = in.number(at, r);
      in.find(samples, clip, frame, query, part);
      gather<T, D>(samples, in.head_of_frame(clip, source, head), in.token_stride,
                   in.weight_data + part * in.samples, in.channels, out);
    }
  }
}

// Items start..stop-1 of (B, Tv, M). An item owns its part of grad_value, and each
// query, head and relative frame belongs to the item that it samples. What lies outside
// the clip belongs to none.
template <typename T, int64_t D>
void backward_items(const Inputs<T>& in, int64_t start, int64_t stop,
                    const T* grad_output, const Tensor& grad_value, T* grad_positions,
                    T* grad_weights) {
  Samples<T> samples(in.spatial_shapes, in.points);
  const int64_t grad_stride = grad_value.stride(2);
  for (int64_t item = start; item < stop; ++item) {
    const int64_t head = item % in.heads;
    const int64_t source = item / in.heads % in.value_frames;
    const int64_t clip = item / (in.heads * in.value_frames);
    T* grad = grad_value.mutable_data_ptr<T>() + clip * grad_value.stride(0) +
              source * grad_value.stride(1) + head * grad_value.stride(3);
    for (int64_t token = 0; token < in.tokens; ++token) {
      std::fill_n(grad + token * grad_stride, in.channels, T(0));
    }
    for (size_t r = 0; r < in.relative_frames.size(); ++r) {
      const int64_t frame = source - in.first_frame - in.relative_frames[r];
      if (frame < 0 || frame >= in.frames) {
        continue;
      }
      for (int64_t query = 0; query < in.queries; ++query) {
        const int64_t at = in.number(clip, frame, query, head);
        const int64_t part = in.number(at, r);
        in.find(samples, clip, frame, query, part);
        scatter<T, D>(samples, in.head_of_frame(clip, source, head), in.token_stride,
                      in.weight_data + part * in.samples, in.channels,
                      grad_output + at * in.channels, grad, grad_stride,
                      grad_positions + part * in.samples * 2,
                      grad_weights + part * in.samples);
      }
    }
  }
}

// Calls function(D) with the number of channels as a constant where it is a usual one.
template <typename Function>
void with_channels(int64_t channels, const Function& function) {
  switch (channels) {
    case 8:
      return function(std::integral_constant<int64_t, 8>());
    case 16:
      return function(std::integral_constant<int64_t, 16>());
    case 32:
      return function(std::integral_constant<int64_t, 32>());
    default:
      return function(std::integral_constant<int64_t, 0>());
  }
}

Tensor forward(const Tensor& value, IntArrayRef spatial_shapes,
               const Tensor& references, const Tensor& offsets, const Tensor& weights,
               IntArrayRef relative_frames, int64_t first_frame) {
  Tensor output = at::empty({value.size(0), weights.size(1), weights.size(2),
                             value.size(3), value.size(4)},
                            value.options());
  AT_DISPATCH_FLOATING_TYPES(value.scalar_type(), "deformable_attention", [&] {
    const Inputs<scalar_t> in(value, spatial_shapes, references, offsets, weights,
                              relative_frames, first_frame);
    const int64_t items = in.clips * in.frames * in.heads * in.queries;
    const int64_t cost = in.samples * static_cast<int64_t>(relative_frames.size());
    with_channels(in.channels, [&](auto fixed) {
      at::parallel_for(
          0, items, kSamplesPerTask / std::max<int64_t>(cost, 1) + 1,
          [&](int64_t start, int64_t stop) {
            forward_items<scalar_t, decltype(fixed)::value>(
                in, start, stop, output.mutable_data_ptr<scalar_t>());
          });
    });
  });
  return output;
}

std::tuple<Tensor, Tensor, Tensor> backward(
    const Tensor& grad_output, const Tensor& value, IntArrayRef spatial_shapes,
    const Tensor& references, const Tensor& offsets, const Tensor& weights,
    IntArrayRef relative_frames, int64_t first_frame) {
  Tensor grad_value = at::empty_like(value);
  Tensor grad_positions = at::empty_like(offsets);
  Tensor grad_weights = at::empty_like(weights);
  AT_DISPATCH_FLOATING_TYPES(value.scalar_type(), "deformable_attention", [&] {
    const Inputs<scalar_t> in(value, spatial_shapes, references, offsets, weights,
                              relative_frames, first_frame);
    const int64_t items = in.clips * in.value_frames * in.heads;
    const int64_t cost = in.samples * in.queries;
    with_channels(in.channels, [&](auto fixed) {
      at::parallel_for(
          0, items, kSamplesPerTask / std::max<int64_t>(cost, 1) + 1,
          [&](int64_t start, int64_t stop) {
            backward_items<scalar_t, decltype(fixed)::value>(
                in, start, stop, grad_output.const_data_ptr<scalar_t>(), grad_value,
                grad_positions.mutable_data_ptr<scalar_t>(),
                grad_weights.mutable_data_ptr<scalar_t>());
          });
    });
  });
  return {grad_value, grad_positions, grad_weights};
}

}  // namespace

TORCH_LIBRARY(mmtaformer_cpu, library) {
  library.def(
      "forward(Tensor value, int[] spatial_shapes, Tensor references, Tensor offsets, "
      "Tensor weights, int[] relative_frames, int first_frame) -> Tensor",
      forward);
  library.def(
      "backward(Tensor grad_output, Tensor value, int[] spatial_shapes, "
      "Tensor references, Tensor offsets, Tensor weights, int[] relative_frames, "
      "int first_frame) -> (Tensor, Tensor, Tensor)",
      backward);
}
