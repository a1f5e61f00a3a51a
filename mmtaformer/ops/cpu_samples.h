// Where the samples of a query and head lie, and what they weigh.
//
// Symbols: L levels, P points; K = L * P samples in one frame.

#pragma once

#include <c10/util/ArrayRef.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace {

// K samples of a query and head in one frame, as 2 * K coordinates x, y, x, y, ...
template <typename T>
class Samples {
 public:
  Samples(c10::IntArrayRef spatial_shapes, int64_t points)
      : count(static_cast<int64_t>(spatial_shapes.size()) / 2 * points),
        points_(points),
        first_token_(count),
        width_(count),
        low_(2 * count),
        high_(2 * count) {
    for (auto* array : {&size_, &origin_, &divisor_, &scale_, &low_weight_,
                        &high_weight_, &has_low_, &has_high_}) {
      array->resize(2 * count, 1);
    }
    int64_t token = 0;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t height = spatial_shapes[k / points * 2];
      const int64_t width = spatial_shapes[k / points * 2 + 1];
      first_token_[k] = token;
      width_[k] = width;
      size_[2 * k] = divisor_[2 * k] = width;
      size_[2 * k + 1] = divisor_[2 * k + 1] = height;
      if ((k + 1) % points == 0) {
        token += height * width;
      }
    }
  }

  // reference: x, y or cx, cy, w, h of the first level; `stride` numbers to the next.
  void find(const T* reference, int64_t stride, bool is_box, const T* offsets) {
    for (int64_t k = 0; k < count; k += points_, reference += stride) {
      for (int64_t i = 2 * k; i < 2 * (k + points_); i += 2) {
        origin_[i] = reference[0];
        origin_[i + 1] = reference[1];
        if (is_box) {
          divisor_[i] = divisor_[i + 1] = points_;
          scale_[i] = reference[2] * T(0.5);
          scale_[i + 1] = reference[3] * T(0.5);
        }
      }
    }
    find_neighbours(2 * count, offsets, size_.data(), origin_.data(), divisor_.data(),
                    scale_.data(), low_.data(), high_.data(), low_weight_.data(),
                    high_weight_.data(), has_low_.data(), has_high_.data());
  }

  // The four pixels around sample k: (x0, y0), (x1, y0), (x0, y1), (x1, y1).
  struct Corners {
    int64_t row[4];  // numbers from the channels of the frame's first token to theirs
    T x0, x1, y0, y1;  // weights along the axes
  };

  Corners corners(int64_t k, int64_t token_stride) const {
    const int64_t x = 2 * k, y = 2 * k + 1;
    const int64_t upper = first_token_[k] + low_[y] * width_[k];
    const int64_t lower = first_token_[k] + high_[y] * width_[k];
    return {{(upper + low_[x]) * token_stride, (upper + high_[x]) * token_stride,
             (lower + low_[x]) * token_stride, (lower + high_[x]) * token_stride},
            low_weight_[x],
            high_weight_[x],
            low_weight_[y],
            high_weight_[y]};
  }

  // Derivative of a value along coordinate i, from its two sides.
  T slope(int64_t i, T low, T high) const {
    return has_high_[i] * high - has_low_[i] * low;
  }

  const int64_t count;  // K

 private:
  static void find_neighbours(int64_t coordinates, const T* offset, const T* size,
                              const T* origin, const T* divisor, const T* scale,
                              int32_t* low, int32_t* high, T* low_weight,
                              T* high_weight, T* has_low, T* has_high) {
    const T zero = 0, half = 0.5, one = 1;
#pragma omp simd
    for (int64_t i = 0; i < coordinates; ++i) {
      // Rounded as by mmcv and grid_sample: a simpler formula for the same position
      // moves it by up to 1e-5 pixels.
      const T location = origin[i] + offset[i] / divisor[i] * scale[i];
      const T normalized = location + location - one;
      const T position = (normalized + one) * (size[i] * half) - half;
      // Written so that NaN ends at -1, where both weights are 0.
      T x = position > -one ? position : -one;
      x = x < size[i] ? x : size[i];
      const T cell = std::floor(x);
      const T last = size[i] - one;
      has_low[i] = (cell >= zero ? one : zero) * (cell <= last ? one : zero);
      has_high[i] = (x > -one ? one : zero) * (cell < last ? one : zero);
      low_weight[i] = has_low[i] * (one - (x - cell));
      high_weight[i] = has_high[i] * (x - cell);
      const T before = cell > zero ? cell : zero;
      low[i] = static_cast<int32_t>(before < last ? before : last);
      high[i] = static_cast<int32_t>(cell + one < last ? cell + one : last);
    }
  }

  int64_t points_;
  std::vector<int64_t> first_token_, width_;
  // Location in [0, 1] of a level of `size` pixels: origin + offset / divisor * scale.
  std::vector<T> size_, origin_, divisor_, scale_;
  // The pixels before and after: index, weight, and whether they exist (1 or 0). One
  // outside the level has weight 0 and the index of the level's border.
  std::vector<int32_t> low_, high_;
  std::vector<T> low_weight_, high_weight_, has_low_, has_high_;
};

}  // namespace
