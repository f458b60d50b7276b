// SPDX-License-Identifier: Apache-2.0
//
// Bytes from a file and bytes from memory.
#include <ropeway/runtime/feed_source.hpp>

#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include <ropeway/runtime/feed_error.hpp>

namespace ropeway {
namespace {

constexpr std::size_t block_bytes = std::size_t{64} * 1024;

std::string reason_of(int error) { return std::generic_category().message(error); }

class file_bytes final : public byte_source {
  public:
    explicit file_bytes(const std::filesystem::path& path) : name_(path.string()) {
        std::error_code ignored;
        if (std::filesystem::is_directory(path, ignored)) {
            throw feed_error(feed_fault::cannot_open, {name_}, "cannot open the file",
                             "a directory", "name the file in it");
        }
        file_.reset(std::fopen(name_.c_str(), "rb"));
        if (file_ == nullptr) {
            throw feed_error(feed_fault::cannot_open, {name_}, "cannot open the file",
                             reason_of(errno), "check the path and the right to read it");
        }
    }

    std::span<const std::byte> next_block() override {
        const auto got = std::fread(block_.data(), 1, block_.size(), file_.get());
        if (got < block_.size() && std::ferror(file_.get()) != 0) {
            throw feed_error(feed_fault::read_failed, {name_, offset_ + got},
                             "the system cannot read on", reason_of(errno),
                             "check the disk, or copy the file again");
        }
        offset_ += got;
        return std::span(block_).first(got);
    }

    const std::string& name() const noexcept override { return name_; }

  private:
    struct closer {
        void operator()(std::FILE* file) const noexcept { static_cast<void>(std::fclose(file)); }
    };
    std::string name_;
    std::unique_ptr<std::FILE, closer> file_;
    std::uint64_t offset_ = 0;
    std::array<std::byte, block_bytes> block_{};
};

class borrowed_bytes final : public byte_source {
  public:
    borrowed_bytes(std::span<const std::byte> bytes, std::string name)
        : bytes_(bytes), name_(std::move(name)) {}

    std::span<const std::byte> next_block() override {
        return std::exchange(bytes_, std::span<const std::byte>{});
    }
    const std::string& name() const noexcept override { return name_; }

  private:
    std::span<const std::byte> bytes_;
    std::string name_;
};

}  // namespace

std::unique_ptr<byte_source> open_file_bytes(const std::filesystem::path& path) {
    return std::make_unique<file_bytes>(path);
}

std::unique_ptr<byte_source> borrow_bytes(std::span<const std::byte> bytes, std::string name) {
    return std::make_unique<borrowed_bytes>(bytes, std::move(name));
}

}  // namespace ropeway
