# SPDX-License-Identifier: Apache-2.0
# A fresh install of the build tree into STAGE: what an earlier run left there must not hide a missing rule.
file(REMOVE_RECURSE ${STAGE})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BINARY_DIR} --prefix ${STAGE} --config ${CONFIG}
    OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
