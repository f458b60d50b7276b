// SPDX-License-Identifier: Apache-2.0
//
// Batches in flight and their answers, in order.
#include <ropeway/pool/postgres/pipeline.hpp>

#include <string>
#include <utility>

#include "connection_parts.hpp"
#include "session_effects.hpp"

namespace ropeway::postgres {

pipeline::pipeline(connection& on, const pipeline_params& params)
    : connection_(&on), params_(params), end_(on.parts_->end_of(params.timeout)) {
    if (params.batch < 1 || params.batch > 100'000 || params.in_flight < 1 ||
        params.in_flight > 1000) {
        fail({resource_error_kind::invalid,
              {},
              "batch (" + std::to_string(params.batch) +
                  ") must be within 1..100000 and in_flight (" + std::to_string(params.in_flight) +
                  ") within 1..1000"});
        finished_ = true;
        return;
    }
    connection::parts& in = *on.parts_;
    if (auto refused = in.ready_for_command(end_)) {
        fail(*std::move(refused));
        finished_ = true;
    } else if (PQenterPipelineMode(in.session()) == 0) {
        fail(in.send_failed().error());
        finished_ = true;
    }
}

pipeline::~pipeline() {
    if (!finished_) {
        leave();
    }
}

void pipeline::fail(resource_error why) {
    if (!report_.error) {
        report_.error = std::move(why);
    }
}

bool pipeline::add(std::string_view statement, std::span<const parameter> values) {
    connection::parts& in = *connection_->parts_;
    if (!finished_) {
        in.session_dirty = in.session_dirty || in.prepared_leaves_state(statement);
    }
    const std::string name(statement);
    return is_whole(statement, values) && send(name.c_str(), nullptr, values);
}

bool pipeline::add_sql(std::string_view sql, std::span<const parameter> values) {
    connection::parts& in = *connection_->parts_;
    in.session_dirty = in.session_dirty || detail::leaves_session_state(sql);
    const std::string text(sql);
    return is_whole(sql, values) && send(nullptr, text.c_str(), values);
}

bool pipeline::is_whole(std::string_view text, std::span<const parameter> values) {
    auto refused = detail::refusal_of(text, values);
    if (!refused || finished_) {
        return !refused;
    }
    if (!report_.error) {
        report_.first_failed_row = report_.rows;
        refused->text = "row " + std::to_string(report_.rows) + ": " + refused->text;
    }
    fail(*std::move(refused));
    return false;
}

bool pipeline::send(const char* name, const char* sql, std::span<const parameter> values) {
    if (finished_ || report_.error) {
        return false;
    }
    PGconn* pg = connection_->parts_->session();
    const detail::bound_parameters bound(values);
    const int sent = name != nullptr
                         ? PQsendQueryPrepared(pg, name, bound.count(), bound.values(),
                                               bound.lengths(), bound.formats(), 0)
                         : PQsendQueryParams(pg, sql, bound.count(), bound.types(), bound.values(),
                                             bound.lengths(), bound.formats(), 0);
    if (sent == 0) {
        fail(connection_->parts_->send_failed().error());
        return false;
    }
    ++report_.rows;
    ++filling_.rows;
    return filling_.rows < params_.batch || sync();
}

bool pipeline::sync() {
    connection::parts& in = *connection_->parts_;
    if (PQpipelineSync(in.session()) == 0) {
        lost_ = true;
        fail(in.send_failed().error());
        return false;
    }
    batches_.push_back(filling_);
    filling_ = {.first = report_.rows};
    return read(params_.in_flight) && !report_.error;
}

bool pipeline::read(std::size_t unanswered) {
    connection::parts& in = *connection_->parts_;
    int unsent = PQflush(in.session());
    take_answers();
    while (!lost_ && (batches_.size() > unanswered || (unsent == 1 && unanswered > 0))) {
        switch (in.wait_once(end_, unsent == 1)) {
            case wait_end::ready: break;
            case wait_end::time_over:
                lost_ = true;
                fail(in.give_up(end_));
                return false;
            case wait_end::lost:
                take_answers();
                lost_ = true;
                in.doomed = true;
                fail(in.connection_error());
                return false;
        }
        unsent = PQflush(in.session());
        take_answers();
    }
    return !lost_;
}

void pipeline::take_answers() {
    connection::parts& in = *connection_->parts_;
    while (!lost_ && !batches_.empty() && PQisBusy(in.session()) == 0) {
        const detail::pq_result answer(PQgetResult(in.session()));
        if (!answer) {
            if (PQstatus(in.session()) != CONNECTION_OK) {
                lost_ = true;
                in.doomed = true;
                fail(in.connection_error());
            }
            continue;  // the end of one row's answers
        }
        if (PQresultStatus(answer.get()) == PGRES_PIPELINE_SYNC) {
            take_sync();
        } else {
            take_row(answer.get());
        }
    }
}

void pipeline::take_row(void* raw) {
    const auto* answer = static_cast<PGresult*>(raw);
    connection::parts& in = *connection_->parts_;
    batch& oldest = batches_.front();
    const std::uint64_t row = oldest.first + oldest.answered;
    const ExecStatusType status = PQresultStatus(answer);
    if (status == PGRES_FATAL_ERROR && PQstatus(in.session()) != CONNECTION_OK) {
        lost_ = true;
        in.doomed = true;
        fail(in.error_of(answer));
        return;
    }
    ++oldest.answered;
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        oldest.changed += detail::changed_rows(answer);
        return;
    }
    oldest.failed = true;
    if (status != PGRES_PIPELINE_ABORTED && report_.first_failed_row == pipeline_report::no_row) {
        report_.first_failed_row = row;
        resource_error why = in.error_of(answer);
        why.text = "row " + std::to_string(row) + ": " + why.text;
        if (why.kind == resource_error_kind::broken) {
            in.doomed = true;
        }
        fail(std::move(why));
    }
}

void pipeline::take_sync() {
    const batch answered = batches_.front();
    batches_.pop_front();
    if (answered.failed) {
        report_.refused += answered.rows;
    } else {
        report_.done += answered.rows;
        report_.changed += answered.changed;
    }
}

void pipeline::leave() {
    finished_ = true;
    connection::parts& in = *connection_->parts_;
    for (const batch& each : batches_) {
        report_.unknown += each.rows;
    }
    // What was never followed by a Sync is rolled back by the server, or by the drop.
    report_.refused += filling_.rows;
    batches_.clear();
    if (!in.pg || PQexitPipelineMode(in.session()) == 0) {
        in.doomed = true;
    }
}

const pipeline_report& pipeline::finish() {
    if (finished_) {
        return report_;
    }
    if (!lost_ && filling_.rows > 0) {
        sync();
    }
    if (!lost_) {
        read(0);
    }
    connection_->parts_->deliver_notifications();
    leave();
    return report_;
}

}  // namespace ropeway::postgres
