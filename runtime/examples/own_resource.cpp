#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <sys/mman.h>
#include <unistd.h>
#include <ropeway/pool/resource_pool.hpp>
using namespace std::chrono_literals;

class file final : public ropeway::pooled_resource {  // a file, to which its holder appends
  public:
    ~file() override { drop(); }
    void append(std::string_view line) {
        torn_ = ::write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size());
    }

    ropeway::resource_step begin(ropeway::resource_task task) noexcept override {
        if (task != ropeway::resource_task::open) { return {}; }  // nothing to probe, to reset, to say goodbye to
        fd_ = ::memfd_create("lines", MFD_CLOEXEC);  // what takes long is done in steps: wants_read, wants_write
        if (fd_ >= 0) { return {}; }
        error_ = {.kind = ropeway::resource_error_kind::unavailable, .text = std::strerror(errno)};
        return {.state = ropeway::step_state::failed};
    }
    ropeway::resource_step resume() noexcept override { return {}; }  // of a task that waits for a descriptor or a time
    ropeway::resource_health check() noexcept override {              // before each lease: a look, never a wait
        return fd_ >= 0 ? ropeway::resource_health::usable : ropeway::resource_health::dead;
    }
    int idle_fd() const noexcept override { return -1; }  // what becomes readable when the other end goes away
    ropeway::return_state on_return() noexcept override {
        return torn_ ? ropeway::return_state::broken : ropeway::return_state::clean;  // or dirty: reset it first
    }
    void drop() noexcept override {
        if (fd_ >= 0) { ::close(std::exchange(fd_, -1)); }
    }
    const ropeway::resource_error& error() const noexcept override { return error_; }

  private:
    int fd_ = -1;
    bool torn_ = false;
    ropeway::resource_error error_{};
};

int main() {
    ropeway::resource_pool<file> files{[] { return std::make_unique<file>(); }, {.name = "files", .min_size = 1}};
    if (auto failed = files.start()) { return std::puts(failed->text().c_str()), 1; }
    for (int i = 0; i < 3; ++i) { files.acquire(1s)->append("a line\n"); }
    const auto now = files.snapshot();
    std::printf("%llu leases, %llu file opened\n", static_cast<unsigned long long>(now.acquired),
        static_cast<unsigned long long>(now.opened));
    return files.shutdown(1s).clean() ? 0 : 1;
}
