// SPDX-License-Identifier: Apache-2.0
//
// Anonymous mappings, and what the kernel can be asked to do with them.
#include <ropeway/pool/memory_source.hpp>

#include <cerrno>
#include <cstring>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

namespace ropeway {

namespace {

std::string megabytes(std::size_t bytes) {
    return std::to_string(bytes) + " bytes (" + std::to_string(bytes >> 20) + " MiB)";
}

class mmap_source final : public memory_source {
  public:
    void* allocate(std::size_t bytes, std::size_t alignment) override {
        if (alignment > 4096) {
            throw memory_error("mmap memory is aligned to 4096 bytes, and " +
                               std::to_string(alignment) + " were asked for. Ask for less.");
        }
        // No reserve: pools map room for growth and for guard tables that they may never touch.
        void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            throw memory_error("cannot map " + megabytes(bytes) + ": " + std::strerror(errno) +
                               ". Lower the number of slots, or raise the address-space limit "
                               "(ulimit -v).");
        }
        return memory;
    }
    void release(void* memory, std::size_t bytes) noexcept override { munmap(memory, bytes); }
};

}  // namespace

memory_source& mmap_memory() noexcept {
    static mmap_source source;
    return source;
}

void prepare_memory(void* memory, std::size_t bytes, const memory_params& params) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const auto start = reinterpret_cast<std::uintptr_t>(memory) & ~(page - 1);
    const std::size_t span = reinterpret_cast<std::uintptr_t>(memory) + bytes - start;
    void* const first_page = reinterpret_cast<void*>(start);
    if (params.huge_pages && madvise(first_page, span, MADV_HUGEPAGE) != 0) {
        throw memory_error("huge pages for " + megabytes(bytes) +
                           " were refused: " + std::strerror(errno) +
                           ". Set /sys/kernel/mm/transparent_hugepage/enabled to madvise, or "
                           "memory_params::huge_pages to false.");
    }
    if (params.prefault) {
        // Read and written back: the memory may already hold events.
        auto* const at = static_cast<volatile unsigned char*>(memory);
        for (std::size_t i = 0; i < bytes; i += page) {
            at[i] = at[i];
        }
    }
    if (params.lock && mlock(first_page, span) != 0) {
        throw memory_error("locking " + megabytes(bytes) + " was refused: " + std::strerror(errno) +
                           ". Raise the limit (ulimit -l) or give CAP_IPC_LOCK, or set "
                           "memory_params::lock to false.");
    }
}

}  // namespace ropeway
