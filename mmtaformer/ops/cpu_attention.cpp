// Sampling of the spatio-temporal deformable attention on the CPU, and its gradient.
//
// Built by cpu_library.py at the first call, and called by cpu_attention.py.
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
#include <cstdint>
#include <tuple>
#include <type_traits>

#include "cpu_samples.h"

namespace {

using at::IntArrayRef;
using at::Tensor;

// Samples that are worth handing to another thread: they take some 100 microseconds.
constexpr int64_t kSamplesPerTask = 4096;

// What a head reads and writes for one query lies too far from that for the next for a
// processor to foresee it, so it is asked for so many queries before.
constexpr int64_t kQueriesAhead = 4;

// Asks for `count` numbers, by one of each cache line. Always inline, because GCC leaves
// out calls of functions that do nothing but prefetch.
template <typename T>
[[gnu::always_inline]] inline void prefetch(const T* numbers, int64_t count) {
  constexpr int64_t line = 64 / sizeof(T);
  for (int64_t i = 0; i < count; i += line) {
    __builtin_prefetch(numbers + i);
  }
}

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
    const auto at = samples.corners(k, token_stride);
    const T *v0 = value + at.row[0], *v1 = value + at.row[1];
    const T *v2 = value + at.row[2], *v3 = value + at.row[3];
    const T top = attention_weights[k] * at.y0, bottom = attention_weights[k] * at.y1;
    const T w0 = top * at.x0, w1 = top * at.x1;
    const T w2 = bottom * at.x0, w3 = bottom * at.x1;
#pragma omp simd
    for (int64_t c = 0; c < (fixed ? D : channels); ++c) {
      sum[c] += (w0 * v0[c] + w1 * v1[c]) + (w2 * v2[c] + w3 * v3[c]);
    }
  }
  if constexpr (fixed) {
    std::copy(sum, sum + D, out);
  }
}

// Backward of gather() for the gradient of `out`. Adds to grad_value, which is laid out
// as value; writes the gradients of the positions, in pixels (K, 2), and of the
// attention weights (K).
template <typename T, int64_t D>
void scatter(const Samples<T>& samples, const T* value, int64_t token_stride,
             const T* attention_weights, int64_t channels, const T* __restrict gradient,
             T* grad_value, T* grad_positions, T* grad_weights) {
  const int64_t count = D > 0 ? D : channels;
  for (int64_t k = 0; k < samples.count; ++k) {
    const auto at = samples.corners(k, token_stride);
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
    const T attention = attention_weights[k];
    const T top = attention * at.y0, bottom = attention * at.y1;
    const T weights[4] = {top * at.x0, top * at.x1, bottom * at.x0, bottom * at.x1};
    for (int corner = 0; corner < 4; ++corner) {  // two of them may be one pixel
      T* __restrict row = grad_value + at.row[corner];
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) {
        row[c] += weights[corner] * gradient[c];
      }
    }
    const T above = at.x0 * d0 + at.x1 * d1, below = at.x0 * d2 + at.x1 * d3;
    const T left = at.y0 * d0 + at.y1 * d2, right = at.y0 * d1 + at.y1 * d3;
    grad_weights[k] = at.y0 * above + at.y1 * below;
    grad_positions[2 * k] = attention * samples.slope(2 * k, left, right);
    grad_positions[2 * k + 1] = attention * samples.slope(2 * k + 1, above, below);
  }
}

// The arguments of both directions.
template <typename T>
struct Inputs {
  Inputs(const Tensor& value, IntArrayRef spatial_shapes, const Tensor& references,
         const Tensor& offsets, const Tensor& weights, IntArrayRef relative_frames,
         int64_t first_frame)
      : value(value),
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
        clip_stride(references.stride(0)),
        frame_stride(references.stride(1)),
        query_stride(references.stride(2)),
        level_stride(references.stride(3)),
        is_box(references.size(4) == 4),
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

  int64_t ahead(int64_t query) const {
    return std::min(query + kQueriesAhead, queries - 1);
  }

  // Asks for offsets and weights of `parts` relative frames.
  [[gnu::always_inline]] void prefetch_samples(int64_t first_part, int64_t parts) const {
    prefetch(offset_data + first_part * samples * 2, parts * samples * 2);
    prefetch(weight_data + first_part * samples, parts * samples);
  }

  const T* head_of_frame(int64_t clip, int64_t frame, int64_t head) const {
    return value_data + clip * value.stride(0) + frame * value.stride(1) +
           head * value.stride(3);
  }

  void find(Samples<T>& found, int64_t clip, int64_t frame, int64_t query,
            int64_t number) const {
    const T* reference = reference_data + clip * clip_stride + frame * frame_stride +
                         query * query_stride;
    found.find(reference, level_stride, is_box, offset_data + number * samples * 2);
  }

  const Tensor& value;
  IntArrayRef spatial_shapes, relative_frames;
  int64_t first_frame, clips, value_frames, tokens, heads, channels, frames, queries;
  int64_t points, samples, token_stride;
  int64_t clip_stride, frame_stride, query_stride, level_stride;  // of the references
  bool is_box;
  const T *value_data, *reference_data, *offset_data, *weight_data;
};

// Items start..stop-1 of (B, Tq, M, Lq): head by head, so that what neighbouring
// queries sample stays in cache.
template <typename T, int64_t D>
void forward_items(const Inputs<T>& in, int64_t start, int64_t stop, T* output) {
  Samples<T> samples(in.spatial_shapes, in.points);
  const int64_t parts = static_cast<int64_t>(in.relative_frames.size());
  for (int64_t item = start; item < stop; ++item) {
    const int64_t query = item % in.queries;
    const int64_t head = item / in.queries % in.heads;
    const int64_t frame = item / (in.queries * in.heads) % in.frames;
    const int64_t clip = item / (in.queries * in.heads * in.frames);
    const int64_t at = in.number(clip, frame, query, head);
    const int64_t next = in.number(clip, frame, in.ahead(query), head);
    in.prefetch_samples(in.number(next, 0), parts);
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
                    const T* grad_output, T* grad_value, T* grad_positions,
                    T* grad_weights) {
  Samples<T> samples(in.spatial_shapes, in.points);
  for (int64_t item = start; item < stop; ++item) {
    const int64_t head = item % in.heads;
    const int64_t source = item / in.heads % in.value_frames;
    const int64_t clip = item / (in.heads * in.value_frames);
    const T* value = in.head_of_frame(clip, source, head);
    T* grad = grad_value + (value - in.value_data);
    for (int64_t token = 0; token < in.tokens; ++token) {
      std::fill_n(grad + token * in.token_stride, in.channels, T(0));
    }
    for (size_t r = 0; r < in.relative_frames.size(); ++r) {
      const int64_t frame = source - in.first_frame - in.relative_frames[r];
      if (frame < 0 || frame >= in.frames) {
        continue;
      }
      for (int64_t query = 0; query < in.queries; ++query) {
        const int64_t at = in.number(clip, frame, query, head);
        const int64_t part = in.number(at, r);
        const int64_t next = in.number(clip, frame, in.ahead(query), head);
        const int64_t next_part = in.number(next, r);
        in.prefetch_samples(next_part, 1);
        prefetch(grad_output + next * in.channels, in.channels);
        prefetch(grad_positions + next_part * in.samples * 2, in.samples * 2);
        prefetch(grad_weights + next_part * in.samples, in.samples);
        in.find(samples, clip, frame, query, part);
        scatter<T, D>(samples, value, in.token_stride,
                      in.weight_data + part * in.samples, in.channels,
                      grad_output + at * in.channels, grad,
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
                in, start, stop, grad_output.const_data_ptr<scalar_t>(),
                grad_value.mutable_data_ptr<scalar_t>(),
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
