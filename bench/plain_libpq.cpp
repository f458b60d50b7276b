// SPDX-License-Identifier: Apache-2.0
#include "plain_libpq.hpp"

#include <libpq-fe.h>

#include <stdexcept>

namespace ropeway::bench {

plain_connection::plain_connection(const std::string& url) : connection_(PQconnectdb(url.c_str())) {
    if (PQstatus(connection_) != CONNECTION_OK) {
        const std::string why = PQerrorMessage(connection_);
        PQfinish(connection_);
        throw std::runtime_error("the reference cannot connect: " + why);
    }
}

plain_connection::~plain_connection() { PQfinish(connection_); }

bool plain_connection::run(const char* sql) {
    PGresult* const result = PQexec(connection_, sql);
    const ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

std::int64_t plain_connection::number(const char* sql) {
    PGresult* const result = PQexec(connection_, sql);
    const bool one = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
    const std::string text = one ? PQgetvalue(result, 0, 0) : "";
    PQclear(result);
    if (text.empty()) {
        throw std::runtime_error(std::string{sql} + ": " + PQerrorMessage(connection_));
    }
    return std::stoll(text);
}

bool accepts_sessions(const std::string& url) { return PQping(url.c_str()) == PQPING_OK; }

}  // namespace ropeway::bench
