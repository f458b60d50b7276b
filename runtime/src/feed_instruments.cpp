// SPDX-License-Identifier: Apache-2.0
//
// The instrument table: a hash of names, and a shortcut for the name that comes again.
#include <ropeway/runtime/feed_instruments.hpp>

namespace ropeway {

instrument_table::instrument_table(std::size_t max_instruments) : max_(max_instruments) {}

std::uint32_t instrument_table::id_of(std::string_view name) {
    if (latest_ != 0 && names_[latest_ - 1] == name) {
        return latest_;
    }
    if (const auto known = ids_.find(name); known != ids_.end()) {
        return latest_ = known->second;
    }
    if (names_.size() >= max_) {
        return 0;
    }
    const auto id = static_cast<std::uint32_t>(names_.size() + 1);
    const auto added = ids_.emplace(std::string(name), id).first;
    names_.push_back(added->first);
    return latest_ = id;
}

std::uint32_t instrument_table::find(std::string_view name) const {
    const auto known = ids_.find(name);
    return known == ids_.end() ? 0 : known->second;
}

std::string_view instrument_table::name_of(std::uint32_t id) const noexcept {
    return id == 0 || id > names_.size() ? std::string_view{} : names_[id - 1];
}

}  // namespace ropeway
