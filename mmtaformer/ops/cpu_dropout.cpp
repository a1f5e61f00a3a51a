// Dropout on the CPU, with a mask that follows from a seed; after a ReLU if asked for.
//
// Built by cpu_library.py at the first call, and called by cpu_dropout.py.

#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace {

using at::Tensor;

// So many counters are drawn at a time, in vector instructions; each gives 128 bits, which
// are 16 for each of eight elements.
constexpr int64_t kCounters = 16;
constexpr int64_t kBlock = 8 * kCounters;
constexpr int64_t kBlocksPerTask = 256;

// Philox-4x32-10 of kCounters counters from `first` on (Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", 2011).
void draw(uint64_t seed, uint64_t first, uint32_t (&words)[4][kCounters]) {
  for (int64_t i = 0; i < kCounters; ++i) {
    words[0][i] = static_cast<uint32_t>(first + i);
    words[1][i] = static_cast<uint32_t>((first + i) >> 32);
    words[2][i] = words[3][i] = 0;
  }
  auto key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
#pragma omp simd
    for (int64_t i = 0; i < kCounters; ++i) {
      const uint64_t product0 = uint64_t{0xD2511F53} * words[0][i];
      const uint64_t product1 = uint64_t{0xCD9E8D57} * words[2][i];
      words[0][i] = static_cast<uint32_t>(product1 >> 32) ^ words[1][i] ^ key0;
      words[2][i] = static_cast<uint32_t>(product0 >> 32) ^ words[3][i] ^ key1;
      words[1][i] = static_cast<uint32_t>(product1);
      words[3][i] = static_cast<uint32_t>(product0);
    }
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
}

template <typename T, bool kRelu>
void drop_blocks(int64_t start, int64_t stop, int64_t count, uint64_t seed,
                 int64_t threshold, const T* input, T* output) {
  using Real = at::opmath_type<T>;
  const auto limit = static_cast<uint16_t>(threshold);  // narrow, for wide vectors
  const Real scale = Real(65536) / Real(65536 - threshold);
  for (int64_t block = start; block < stop; ++block) {
    uint32_t words[4][kCounters];
    draw(seed, block * kCounters, words);
    uint16_t draws[kBlock];
    std::memcpy(draws, words, sizeof(draws));
    const int64_t first = block * kBlock, size = std::min(kBlock, count - first);
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) {
      const Real factor = draws[i] < limit ? Real(0) : scale;
      const auto value = static_cast<Real>(input[first + i]);
      output[first + i] = static_cast<T>((kRelu && value < 0 ? 0 : value) * factor);
    }
  }
}

// Of 65536 elements so many as the threshold says are dropped.
Tensor dropout(const Tensor& input, const Tensor& seed, int64_t threshold, bool relu) {
  const Tensor values = input.contiguous();
  Tensor output = at::empty_like(values);
  const auto key = static_cast<uint64_t>(seed.item<int64_t>());
  const int64_t count = values.numel(), blocks = (count + kBlock - 1) / kBlock;
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kBFloat16, at::kHalf, values.scalar_type(), "dropout", [&] {
        at::parallel_for(0, blocks, kBlocksPerTask, [&](int64_t start, int64_t stop) {
          const auto drop = relu ? drop_blocks<scalar_t, true> : drop_blocks<scalar_t, false>;
          drop(start, stop, count, key, threshold, values.const_data_ptr<scalar_t>(),
               output.mutable_data_ptr<scalar_t>());
        });
      });
  return output;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmtaformer_cpu, library) {
  library.def("dropout(Tensor input, Tensor seed, int threshold, bool relu) -> Tensor", dropout);
}
