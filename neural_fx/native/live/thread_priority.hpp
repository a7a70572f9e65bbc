// The priority of the calling thread.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

namespace nfx {

constexpr int FIFO_PRIORITY = 4;  // below JACK's own threads, which run at 5 and more
constexpr int NICE = -11;         // as `bridge.priority.NICE`

// Most users may not lower the nice value. Then it stays as it is.
inline void lower_nice_value() {
#if defined(__linux__)
    setpriority(PRIO_PROCESS, id_t(syscall(SYS_gettid)), NICE);
#endif
}

// Run before other threads, as far as the system allows it. Return whether the thread has a realtime priority.
inline bool raise_priority() {
    sched_param wanted{};
    wanted.sched_priority = FIFO_PRIORITY;
    const bool realtime = pthread_setschedparam(pthread_self(), SCHED_FIFO, &wanted) == 0;
    if (!realtime) lower_nice_value();
    return realtime;
}

// Give up a realtime priority. Return whether the thread still has it.
inline bool drop_realtime_priority() {
    const sched_param wanted{};
    const bool realtime = pthread_setschedparam(pthread_self(), SCHED_OTHER, &wanted) != 0;
    lower_nice_value();
    return realtime;
}

}  // namespace nfx
