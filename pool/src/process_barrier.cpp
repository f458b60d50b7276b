// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <thread>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ropeway/pool/process_barrier.hpp>

namespace ropeway::detail {

bool prepare_process_barrier() noexcept {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0U, 0) == 0;
}

void process_barrier() noexcept {
    std::atomic_thread_fence(std::memory_order_seq_cst);  // our own stores first
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0U, 0) != 0) {
        // No membarrier: a store buffer drains within microseconds.
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
}

}  // namespace ropeway::detail
