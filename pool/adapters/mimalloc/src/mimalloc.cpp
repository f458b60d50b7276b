// SPDX-License-Identifier: Apache-2.0
//
// One heap per constructing thread. mimalloc takes it down with the thread; blocks that are still
// in use stay valid and are freed by address.
#include <ropeway/pool/mimalloc.hpp>

#include <string>

#include <mimalloc.h>

namespace ropeway {

namespace {

class mimalloc_source final : public memory_source {
  public:
    void* allocate(std::size_t bytes, std::size_t alignment) override {
        static thread_local mi_heap_t* const heap = mi_heap_new();
        void* const memory =
            heap != nullptr ? mi_heap_zalloc_aligned(heap, bytes, alignment) : nullptr;
        if (memory == nullptr) {
            throw memory_error("mimalloc cannot give " + std::to_string(bytes) +
                               " bytes aligned to " + std::to_string(alignment) +
                               ". Lower the number of slots, or use mmap_memory().");
        }
        return memory;
    }
    void release(void* memory, std::size_t) noexcept override { mi_free(memory); }
};

}  // namespace

memory_source& mimalloc_memory() noexcept {
    static mimalloc_source source;
    return source;
}

}  // namespace ropeway
