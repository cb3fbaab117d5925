#include "allocation_count.h"

#include <cerrno>
#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RTMDL_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RTMDL_SANITIZED
#endif

namespace {
thread_local std::size_t count = 0;
}

namespace rtmdl::test {
std::size_t allocations() noexcept { return count; }

#if defined(__GLIBC__) && !defined(RTMDL_SANITIZED)
bool can_count_allocations() noexcept { return true; }
}  // namespace rtmdl::test

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t n) { return ++count, __libc_malloc(n); }
void* calloc(std::size_t n, std::size_t size) { return ++count, __libc_calloc(n, size); }
void* realloc(void* p, std::size_t n) { return ++count, __libc_realloc(p, n); }
void* memalign(std::size_t alignment, std::size_t n) { return ++count, __libc_memalign(alignment, n); }
void* aligned_alloc(std::size_t alignment, std::size_t n) { return ++count, __libc_memalign(alignment, n); }
int posix_memalign(void** p, std::size_t alignment, std::size_t n) {
  ++count;
  *p = __libc_memalign(alignment, n);
  return *p ? 0 : ENOMEM;
}
}
#else
bool can_count_allocations() noexcept { return false; }
}  // namespace rtmdl::test
#endif
