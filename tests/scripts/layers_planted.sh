#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# layers_planted.sh FOLDER: layers.sh reports each planted upward include, and passes a clean tree.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
folder=${1:?usage: layers_planted.sh FOLDER}

# plant FILE INCLUDE: a tree that holds this one file
plant() {
    rm -rf "$folder"
    mkdir -p "$folder"/{pool,consumer,dispatcher,runtime} "$folder/$(dirname "$1")"
    printf '#include %s\n' "$2" >"$folder/$1"
}
# reported FILE INCLUDE / clean FILE INCLUDE
reported() {
    plant "$1" "$2"
    local out
    out=$("$here/layers.sh" "$folder")
    expect_status 1 $? "$1 including $2"
    expect_text "$out" "$1:1:" "$1 including $2"
}
clean() {
    plant "$1" "$2"
    "$here/layers.sh" "$folder"
    expect_status 0 $? "$1 including $2"
}

reported pool/src/a.cpp '<ropeway/consumer/delivery.hpp>'
reported pool/include/ropeway/pool/a.hpp '<ropeway/runtime/runtime.hpp>'
reported consumer/src/a.cpp '<ropeway/dispatcher/dispatcher.hpp>'
reported dispatcher/src/a.cpp '<ropeway/runtime/runtime.hpp>'
reported dispatcher/src/a.cpp '<ropeway/ropeway.hpp>'
reported dispatcher/src/a.cpp '<spdlog/spdlog.h>'
reported consumer/src/a.cpp '"../../runtime/src/x.hpp"'
reported pool/src/a.cpp '<ropeway/strategy/x.hpp>'
clean dispatcher/src/a.cpp '<ropeway/pool/recycler.hpp>'
clean runtime/src/a.cpp '<spdlog/spdlog.h>'
clean consumer/src/a.cpp '<ropeway/pool/recycler.hpp>'
finish
