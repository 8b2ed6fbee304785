//! What the operating system says of this process. Empty where there is no `/proc`.

use std::path::Path;

/// Clock ticks a second in `/proc`: part of Linux's interface, the same on every machine.
const TICKS_A_SECOND: u64 = 100;

/// One look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    /// Memory in use, bytes.
    pub(super) resident_bytes: u64,
    /// CPU time used since the start, milliseconds.
    pub(super) cpu_ms: u64,
    /// Open file descriptors.
    pub(super) open_files: u64,
    /// How many may be open.
    pub(super) open_files_max: u64,
    /// Threads.
    pub(super) threads: u64,
}

impl Process {
    /// Looks now.
    pub(super) fn look() -> Self {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let open_files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self {
            // The look itself held one of them open.
            open_files: u64::try_from(open_files.saturating_sub(1)).unwrap_or(0),
            ..Self::parse(&read("status"), &read("stat"), &read("limits"))
        }
    }

    fn parse(status: &str, stat: &str, limits: &str) -> Self {
        let of_status = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(number).unwrap_or(0)
        };
        // The second field is the program's name in brackets, which may hold anything.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = |field: usize| {
            after_name.split_whitespace().nth(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        };
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        Self {
            resident_bytes: of_status("VmRSS:") * 1024,
            cpu_ms: (ticks(11) + ticks(12)) * 1000 / TICKS_A_SECOND,
            open_files: 0,
            open_files_max: files.and_then(number).unwrap_or(0),
            threads: of_status("Threads:"),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Bytes that this process may still write where `path` lies; `None` when the system does not say.
pub(super) fn disk_free_bytes(path: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(path).ok()?;
    told.f_bavail.checked_mul(told.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_read_field_by_field() {
        let stat = "42 (we) i (kefu) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100 1 2";
        let status = "Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t9\n";
        let limits = "Limit  Soft  Hard  Units\nMax open files            1024                 4096  files\n";
        let process = Process::parse(status, stat, limits);
        let expected = Process {
            resident_bytes: 2 * 1024 * 1024,
            cpu_ms: 3_000,
            open_files: 0,
            open_files_max: 1024,
            threads: 9,
        };
        assert_eq!(process, expected);
        assert_eq!(Process::parse("", "", ""), Process::default());
    }

    #[test]
    fn this_process_has_memory_files_and_a_disk() {
        let process = Process::look();
        assert!(process.resident_bytes > 1024 * 1024 && process.open_files > 2, "{process:?}");
        assert!(process.open_files_max > process.open_files && process.threads > 0, "{process:?}");
        assert!(disk_free_bytes(Path::new(".")).unwrap() > 0);
        assert_eq!(disk_free_bytes(Path::new("/no/such/folder")), None);
    }
}
