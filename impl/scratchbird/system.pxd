# What the production clock takes from the operating system, as C: two clocks, a lock that works without the
# GIL, a count of forks, and two primitives on 64-bit words. Only hlc.pyx cimports this file (the count of
# forks is a variable of that module).
from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>

    /* --- clocks, in ms (rule HLC.R18) ------------------------------------------------------------------ */
    /* The monotonic clock must count the time during which the machine was suspended.                     */
    #if defined(_WIN32)
    #include <windows.h>
    static inline int64_t sb_wall_ms(void) {
        FILETIME t;
        GetSystemTimePreciseAsFileTime(&t);
        uint64_t ticks = ((uint64_t)t.dwHighDateTime << 32) | t.dwLowDateTime;
        return (int64_t)(ticks / 10000) - 11644473600000LL;
    }
    static inline int64_t sb_monotonic_ms(void) { return (int64_t)GetTickCount64(); }
    static void sb_yield(int round) { if (round < 16) SwitchToThread(); else Sleep(1); }
    #else
    #include <time.h>
    #include <sched.h>
    #include <pthread.h>
    #if defined(__APPLE__)
    #include <mach/mach_time.h>
    static inline int64_t sb_monotonic_ms(void) {
        static mach_timebase_info_data_t base;
        if (base.denom == 0) mach_timebase_info(&base);
        return (int64_t)((__uint128_t)mach_continuous_time() * base.numer / base.denom / 1000000);
    }
    #else
    #if defined(CLOCK_BOOTTIME)
    #define SB_MONOTONIC CLOCK_BOOTTIME
    #else
    #define SB_MONOTONIC CLOCK_MONOTONIC
    #endif
    static inline int64_t sb_monotonic_ms(void) {
        struct timespec t;
        clock_gettime(SB_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    }
    #endif
    static inline int64_t sb_wall_ms(void) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
    }
    static void sb_yield(int round) {
        /* The sleep is for real-time schedulers, where yielding never lets a weaker holder run. */
        if (round < 16) { sched_yield(); return; }
        struct timespec pause = {0, 50000};
        nanosleep(&pause, NULL);
    }
    #endif

    /* When the kernel last updated its clocks, in ns: it changes with every timer interrupt (each 1 to 10 ms), */
    /* when the clock is set and after suspend, and costs a fifth of a reading. 0 where there is none.          */
    static inline int64_t sb_kernel_tick(void) {
    #if defined(CLOCK_REALTIME_COARSE)
        struct timespec t;
        if (clock_gettime(CLOCK_REALTIME_COARSE, &t) == 0) return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    #endif
        return 0;
    }

    /* --- a lock held for some nanoseconds, never over a call into Python or the system ----------------- */
    #if defined(_MSC_VER)
    #include <intrin.h>
    typedef volatile long sb_lock;
    #define SB_TAKE(lock) (_InterlockedExchange((lock), 1) == 0)
    #define SB_FREE(lock) (*(lock) == 0)
    static inline void sb_release(sb_lock *lock) { _InterlockedExchange(lock, 0); }
    #else
    typedef int sb_lock;
    #define SB_TAKE(lock) (__atomic_exchange_n((lock), 1, __ATOMIC_ACQUIRE) == 0)
    #define SB_FREE(lock) (__atomic_load_n((lock), __ATOMIC_RELAXED) == 0)
    static inline void sb_release(sb_lock *lock) { __atomic_store_n(lock, 0, __ATOMIC_RELEASE); }
    #endif
    static void sb_acquire_slowly(sb_lock *lock) {
        for (int round = 0;; round++) {
            for (int spin = 0; spin < 100; spin++)
                if (SB_FREE(lock) && SB_TAKE(lock)) return;
            sb_yield(round);
        }
    }
    static inline void sb_acquire(sb_lock *lock) { if (!SB_TAKE(lock)) sb_acquire_slowly(lock); }

    /* --- how often this process was forked off since the module was loaded ----------------------------- */
    static volatile uint64_t sb_fork_count = 0;
    static inline uint64_t sb_forks(void) { return sb_fork_count; }
    #if defined(_WIN32)
    static int sb_watch_forks(void) { return 0; }
    #else
    static void sb_in_child(void) { sb_fork_count++; }
    static int sb_watch_forks(void) { return pthread_atfork(NULL, NULL, sb_in_child); }
    #endif

    /* --- random bits: xoshiro256++ by Blackman and Vigna, 2018 (public domain) ------------------------- */
    typedef struct { uint64_t word[4]; } sb_random;
    static inline uint64_t sb_rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
    static inline uint64_t sb_next(sb_random *r) {
        uint64_t *s = r->word, result = sb_rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
        s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]; s[2] ^= t;
        s[3] = sb_rotl(s[3], 45);
        return result;
    }
    """
    ctypedef int Lock "sb_lock"
    ctypedef struct Random "sb_random":
        uint64_t word[4]

    int64_t wall_ms "sb_wall_ms"() noexcept nogil
    int64_t monotonic_ms "sb_monotonic_ms"() noexcept nogil
    int64_t kernel_tick "sb_kernel_tick"() noexcept nogil
    void acquire "sb_acquire"(Lock *lock) noexcept nogil
    void release "sb_release"(Lock *lock) noexcept nogil
    uint64_t forks "sb_forks"() noexcept nogil
    int watch_forks "sb_watch_forks"() noexcept nogil
    uint64_t next_random "sb_next"(Random *random) noexcept nogil
