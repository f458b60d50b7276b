// SPDX-License-Identifier: Apache-2.0
//
// Where slabs get their memory: once, at a pool's construction, never per event. A source is shared
// by pools and must outlive them; its functions are called from the constructing and destroying
// threads only.
#pragma once

#include <cstddef>
#include <stdexcept>

namespace ropeway {

/// What is done to a pool's memory before its first event. All off by default: each costs resident
/// memory or rights that a library must not take unasked.
struct memory_params {
    /// Ask for huge pages (madvise); fewer TLB misses for pools above a few MiB. Default false.
    bool huge_pages = false;
    /// Touch every page at construction, so that no event meets a page fault. Default false.
    bool prefault = false;
    /// Keep the pages in memory (mlock). Needs RLIMIT_MEMLOCK or CAP_IPC_LOCK. Default false.
    bool lock = false;
};

/// Memory could not be had, or not in the way asked for. The text says how many bytes, why, and
/// what to do about it.
class memory_error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A source of large, zeroed blocks.
class memory_source {
  public:
    memory_source() = default;
    memory_source(const memory_source&) = delete;
    memory_source& operator=(const memory_source&) = delete;
    virtual ~memory_source() = default;

    /// Zeroed memory of at least `bytes`, aligned to `alignment` (a power of two up to 4096).
    /// Memory that is never touched should cost no resident memory: pools reserve room to grow.
    /// @throws memory_error.
    [[nodiscard]] virtual void* allocate(std::size_t bytes, std::size_t alignment) = 0;
    /// Gives back what allocate() returned, with the same size.
    virtual void release(void* memory, std::size_t bytes) noexcept = 0;
};

/// The default: anonymous private mappings. Process-wide; any thread.
[[nodiscard]] memory_source& mmap_memory() noexcept;

/// Carries out `params` on [memory, memory + bytes).
/// @throws memory_error naming what was refused and the remedy.
void prepare_memory(void* memory, std::size_t bytes, const memory_params& params);

}  // namespace ropeway
