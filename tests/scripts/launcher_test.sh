#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# launcher_test.sh ROOT FOLDER: the launcher's contract where nothing may be installed or built. The launcher is copied
# into FOLDER, so that no real build folder is touched; package query and installer are stand-ins.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
root=${1:?usage: launcher_test.sh ROOT FOLDER}
folder=${2:?usage: launcher_test.sh ROOT FOLDER}
rm -rf "$folder"
mkdir -p "$folder"
cp "$root/ropeway" "$folder/ropeway"

# script NAME LINE...: an executable stand-in
script() {
    local file=$folder/$1
    shift
    printf '#!/usr/bin/env bash\n' >"$file"
    printf '%s\n' "$@" >>"$file"
    chmod +x "$file"
}
# run ENVIRONMENT... -- ARGUMENTS...: leaves $out, $err and $status
run() {
    local settings=()
    while [[ $1 != -- ]]; do
        settings+=("$1")
        shift
    done
    shift
    env "${settings[@]}" "$folder/ropeway" "$@" >"$folder/out" 2>"$folder/err"
    status=$?
    out=$(<"$folder/out")
    err=$(<"$folder/err")
}
script none_is_installed 'exit 1'
script all_but_tbb '[[ $1 != libtbb-dev ]]'
script failing_installer "echo \"\$@\" >>'$folder/installer.log'" 'echo "Unable to connect to the mirror"' 'exit 100'

run A=b -- fly
expect_status 2 "$status" "an unknown command"
expect_text "$err" "unknown command 'fly'" "an unknown command"
expect_text "$err" "usage: ./ropeway" "an unknown command"

run A=b -- help
expect_status 0 "$status" "help"
expect_text "$out" "usage: ./ropeway" "help"
run A=b --
expect_status 0 "$status" "no command"
run A=b ROPEWAY_PACKAGE_QUERY=true -- setup --fast
expect_status 2 "$status" "an unknown argument of setup"
expect_text "$err" "'--fast'" "an unknown argument of setup"

script all_but_server '[[ $1 != postgresql ]]'
no_cluster=$folder/etc/postgresql-common/createcluster.d/ropeway.conf
script watching_installer "[[ \$* != *' install '* ]] || cat '$no_cluster' >>'$folder/during'" 'exit 100'

for command in soak test bench setup; do
    run ROPEWAY_NO_INSTALL=1 ROPEWAY_PACKAGE_QUERY="$folder/all_but_tbb" ROPEWAY_INSTALLER="$folder/failing_installer" -- $command
    expect_status 2 "$status" "$command without a package"
    expect_text "$out" "libtbb-dev" "$command without a package"
    expect_text "$err" "ROPEWAY_NO_INSTALL=1" "$command without a package"
    checks=$((checks + 1))
    [[ $out != *libspdlog-dev* ]] || fail "$command lists a package that is installed"
done
run ROPEWAY_NO_INSTALL=1 ROPEWAY_PACKAGE_QUERY="$folder/none_is_installed" -- soak
for package in g++ cmake ninja-build libtbb-dev libconcurrentqueue-dev libmimalloc-dev libspdlog-dev catch2 \
    libpq-dev libsqlite3-dev libyaml-cpp-dev; do
    expect_text "$out" "$package" "the list of a bare machine"
done
checks=$((checks + 1))
[[ ! -e $folder/installer.log && ! -e $folder/build ]] || fail "something was installed or built under ROPEWAY_NO_INSTALL=1"

run ROPEWAY_PACKAGE_QUERY="$folder/all_but_tbb" ROPEWAY_INSTALLER="$folder/failing_installer" -- test
expect_status 2 "$status" "an installer that fails"
expect_text "$out" "libtbb-dev" "an installer that fails"
if ((EUID == 0)); then
    expect_text "$err" "Unable to connect to the mirror" "an installer that fails"
    expect_text "$(cat "$folder/installer.log")" "install -y" "an installer that fails"
fi

# The database server: for what starts one, and never with a cluster of the system's own.
for command in test bench 'setup --ci'; do
    # shellcheck disable=SC2086  # two words
    run CI=true ROPEWAY_NO_INSTALL=1 ROPEWAY_PACKAGE_QUERY="$folder/all_but_server" -- $command
    expect_status 2 "$status" "$command without a server"
    expect_text "$out" "install --no-install-recommends postgresql" "$command without a server"
done
# Outside CI the tests that need no server run without one: cmake and ctest are stand-ins as well.
mkdir -p "$folder/bin"
script bin/cmake 'exit 0'
script bin/ctest "echo \"\$@\" >>'$folder/ctest.log'" 'exit 0'
run CI= PATH="$folder/bin:$PATH" ROPEWAY_NO_INSTALL=1 ROPEWAY_PACKAGE_QUERY="$folder/all_but_server" -- test -L unit
expect_status 0 "$status" "test without a server outside CI"
expect_text "$err" "WARNING: no PostgreSQL server" "test without a server outside CI"
expect_text "$err" "ROPEWAY_NO_INSTALL=1" "test without a server outside CI"
expect_text "$err" "install --no-install-recommends postgresql" "test without a server outside CI"
expect_text "$(cat "$folder/ctest.log")" "-L unit" "test without a server outside CI"
run CI= PATH="$folder/bin:$PATH" ROPEWAY_PACKAGE_QUERY=true -- test
expect_status 0 "$status" "test with a server"
checks=$((checks + 1))
[[ $err != *WARNING* ]] || fail "test warns where a server is installed"
rm -rf "$folder/build"
run ROPEWAY_NO_INSTALL=1 ROPEWAY_PACKAGE_QUERY="$folder/none_is_installed" -- soak
checks=$((checks + 1))
[[ " $out " != *" postgresql "* ]] || fail "soak asks for a server that it does not start"
if ((EUID == 0)); then
    for ci in true ''; do
        rm -f "$folder/during"
        run CI=$ci PATH="$folder/bin:$PATH" ROPEWAY_PACKAGE_QUERY="$folder/all_but_server" \
            ROPEWAY_INSTALLER="$folder/watching_installer" ROPEWAY_ETC="$folder/etc" -- test
        expect_status $((${#ci} == 0 ? 0 : 2)) "$status" "a server that cannot be installed, CI=$ci"
        expect_text "$err" "could not be installed" "a server that cannot be installed, CI=$ci"
        expect_text "$(cat "$folder/during")" "create_main_cluster = false" "while a server is installed, CI=$ci"
        checks=$((checks + 1))
        [[ ! -e $no_cluster ]] || fail "the setting against a system cluster outlives the installation, CI=$ci"
    done
    run ROPEWAY_PACKAGE_QUERY="$folder/all_but_tbb" ROPEWAY_INSTALLER="$folder/failing_installer" \
        ROPEWAY_ETC="$folder/other_etc" -- test
    checks=$((checks + 1))
    [[ ! -e $folder/other_etc ]] || fail "an installation without a server touches its configuration"
fi
finish
