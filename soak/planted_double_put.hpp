// SPDX-License-Identifier: Apache-2.0
//
// fault::double_put: gives one event of a pool of its own back twice through the recycler's raw
// entry, so that the verdict's reading of the violation counters is proven. Tests only.
#pragma once

namespace ropeway::soak {

/// Requires that the calling thread may report a violation.
void plant_double_put();

}  // namespace ropeway::soak
