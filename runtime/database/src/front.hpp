// SPDX-License-Identifier: Apache-2.0
//
// An adapter's connection behind the common front. Each adapter has a file of its own here, so that
// a build without it lacks that file and nothing else.
#pragma once

#include <memory>
#include <utility>

#include <ropeway/runtime/database.hpp>

namespace ropeway::detail {

[[nodiscard]] database_factory sqlite_front(const pool_config& config);
[[nodiscard]] database_factory postgres_front(const pool_config& config, logger* log);

/// Adapter: how its result and parameter are called, and its kind.
template <class Connection, class Parameter, database_kind Kind>
class front final : public database_connection {
  public:
    explicit front(std::unique_ptr<Connection> inner) noexcept : inner_(std::move(inner)) {}

    [[nodiscard]] database_kind kind() const noexcept override { return Kind; }
    [[nodiscard]] pooled_resource& native() noexcept override { return *inner_; }

    database_rows exec(std::string_view sql, std::span<const parameter> values,
                       std::chrono::nanoseconds timeout) override {
        if (values.empty()) {
            return copy(inner_->exec(sql, timeout));
        }
        std::vector<Parameter> own;
        own.reserve(values.size());
        for (const parameter& value : values) {
            own.emplace_back(value);
        }
        return copy(inner_->exec_params(sql, std::span<const Parameter>{own}, timeout));
    }

    resource_step begin(resource_task task) noexcept override { return inner_->begin(task); }
    resource_step resume() noexcept override { return inner_->resume(); }
    resource_health check() noexcept override { return inner_->check(); }
    [[nodiscard]] int idle_fd() const noexcept override { return inner_->idle_fd(); }
    return_state on_return() noexcept override { return inner_->on_return(); }
    void drop() noexcept override { inner_->drop(); }
    [[nodiscard]] const resource_error& error() const noexcept override { return inner_->error(); }

  private:
    template <class Result>
    static database_rows copy(const Result& from) {
        database_rows to{.error = from.error()};
        if (!from) {
            return to;
        }
        to.affected = from.affected();
        for (std::size_t column = 0; column < from.columns(); ++column) {
            to.columns.emplace_back(from.column_name(column));
        }
        to.rows.resize(from.rows());
        for (std::size_t row = 0; row < from.rows(); ++row) {
            for (std::size_t column = 0; column < from.columns(); ++column) {
                to.rows[row].push_back(from.is_null(row, column)
                                           ? database_rows::field{}
                                           : database_rows::field{from.text(row, column)});
            }
        }
        return to;
    }

    std::unique_ptr<Connection> inner_;
};

}  // namespace ropeway::detail
