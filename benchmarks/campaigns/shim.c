/* Counts the calls by which a process changes files below a folder, and kills it at one of them,
   just before or just after, or lets that one fail. Loaded with LD_PRELOAD by injected.py.

   FAULTS_FOLDER  the folder, without symbolic links; only the process that finds FAULTS_PROCESS
                  unset is watched, not those that it starts
   FAULTS_LOG     takes a line for each call: its number, its kind, the path
   FAULTS_AT      the number of the call, from 1
   FAULTS_ACTION  "before" or "after", or the errno with which the call fails */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *folder, *action;
static long at;
static long calls;
static int log_fd = -1;
static pid_t watched;

__attribute__((constructor)) static void set_up(void) {
    if (getenv("FAULTS_PROCESS") || !getenv("FAULTS_FOLDER")) return;
    setenv("FAULTS_PROCESS", "", 1);
    folder = getenv("FAULTS_FOLDER");
    action = getenv("FAULTS_ACTION");
    at = action ? atol(getenv("FAULTS_AT")) : 0;
    log_fd = syscall(SYS_openat, AT_FDCWD, getenv("FAULTS_LOG"),
                     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    watched = getpid();
}

/* Put the path that a call is about into `found`; tell whether it lies below the folder. */
static int below(char *found, int dir, const char *path) {
    char base[PATH_MAX] = "", link[64];
    if (!path || path[0] != '/') {
        if (dir == AT_FDCWD) {
            if (syscall(SYS_getcwd, base, sizeof base) < 0) return 0;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
            ssize_t size = readlink(link, base, sizeof base - 1);
            base[size < 0 ? 0 : size] = 0;
        }
    }
    snprintf(found, PATH_MAX, "%.2000s%s%.2000s", base, path && base[0] ? "/" : "", path ? path : "");
    return strncmp(found, folder, strlen(folder)) == 0;
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
}

/* Count a call; tell what to do with it: 0, nothing; 1, die after it; -1, let it fail. */
static int count(const char *kind, int dir, const char *path) {
    char found[PATH_MAX], line[PATH_MAX + 64];
    int kept = errno;
    if (!watched || watched != getpid() || !below(found, dir, path)) {
        errno = kept;
        return 0;
    }
    long number = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    int size = snprintf(line, sizeof line, "%ld\t%s\t%s\n", number, kind, found);
    if (syscall(SYS_write, log_fd, line, size) < 0) abort();
    errno = kept;
    if (number != at) return 0;
    if (!strcmp(action, "before")) die();
    if (!strcmp(action, "after")) return 1;
    errno = atoi(action);
    return -1;
}

#define WATCHED(kind, dir, path, name, types, arguments)                                   \
    ({                                                                                     \
        static __typeof__(name) *real;                                                     \
        if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);                     \
        int what = count(kind, dir, path);                                                 \
        __typeof__(real arguments) result = -1;                                            \
        if (what >= 0) result = real arguments;                                            \
        if (what > 0) die();                                                               \
        result;                                                                            \
    })

#define CALL(type, kind, dir, path, name, types, arguments)                                \
    type name types { return WATCHED(kind, dir, path, name, types, arguments); }

CALL(int, "fsync", fd, NULL, fsync, (int fd), (fd))
CALL(int, "fsync", fd, NULL, fdatasync, (int fd), (fd))
CALL(int, "ftruncate", fd, NULL, ftruncate, (int fd, off_t size), (fd, size))
CALL(int, "ftruncate", fd, NULL, ftruncate64, (int fd, off64_t size), (fd, size))
CALL(int, "ftruncate", AT_FDCWD, path, truncate, (const char *path, off_t size), (path, size))
CALL(int, "ftruncate", AT_FDCWD, path, truncate64, (const char *path, off64_t size), (path, size))
CALL(int, "rename", AT_FDCWD, to, rename, (const char *from, const char *to), (from, to))
CALL(int, "rename", to_dir, to, renameat,
     (int from_dir, const char *from, int to_dir, const char *to), (from_dir, from, to_dir, to))
CALL(int, "rename", to_dir, to, renameat2,
     (int from_dir, const char *from, int to_dir, const char *to, unsigned flags),
     (from_dir, from, to_dir, to, flags))
CALL(int, "link", AT_FDCWD, to, link, (const char *from, const char *to), (from, to))
CALL(int, "link", to_dir, to, linkat,
     (int from_dir, const char *from, int to_dir, const char *to, int flags),
     (from_dir, from, to_dir, to, flags))
CALL(int, "unlink", AT_FDCWD, path, unlink, (const char *path), (path))
CALL(int, "unlink", dir, path, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
CALL(int, "rmdir", AT_FDCWD, path, rmdir, (const char *path), (path))
CALL(int, "mkdir", AT_FDCWD, path, mkdir, (const char *path, mode_t mode), (path, mode))
CALL(int, "mkdir", dir, path, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode))
CALL(ssize_t, "write", fd, NULL, write, (int fd, const void *data, size_t size), (fd, data, size))

#define OPEN(name, parameters, dir, arguments)                                             \
    int name parameters {                                                                  \
        va_list more;                                                                      \
        va_start(more, flags);                                                             \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;            \
        va_end(more);                                                                      \
        if (!(flags & O_CREAT) && (flags & O_ACCMODE) == O_RDONLY) {                       \
            static __typeof__(name) *real;                                                 \
            if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);                 \
            return real arguments;                                                         \
        }                                                                                  \
        return WATCHED("open", dir, path, name, parameters, arguments);                    \
    }

OPEN(open, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, (path, flags, mode))
OPEN(openat, (int dir, const char *path, int flags, ...), dir, (dir, path, flags, mode))
OPEN(openat64, (int dir, const char *path, int flags, ...), dir, (dir, path, flags, mode))
