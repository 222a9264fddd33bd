// The store's own double, where tests look for it.
#pragma once

#include "store/memory_store.h"

namespace vigie::testing {
using store::MemoryStore;
}  // namespace vigie::testing
