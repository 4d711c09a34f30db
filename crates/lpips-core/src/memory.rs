//! Free memory of the machine and of the process's control groups.

/// Free memory in bytes, within the limits of the process's control groups; `None` where the system does not report it.
pub(crate) fn available() -> Option<usize> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = field(&text, "MemAvailable:")? * 1024;
    Some(group_available().map_or(machine, |group| group.min(machine)))
}

/// Number after a name at the start of a line.
fn field(text: &str, name: &str) -> Option<usize> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// Least memory left by any control group of this process.
fn group_available() -> Option<usize> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let number = |path: std::path::PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let mut least = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, names) = match controllers {
            "" => ("/sys/fs/cgroup", ["memory.max", "memory.current"]),
            "memory" => ("/sys/fs/cgroup/memory", ["memory.limit_in_bytes", "memory.usage_in_bytes"]),
            _ => continue,
        };
        for group in std::path::Path::new(path).ancestors() {
            let folder = std::path::Path::new(root).join(group.strip_prefix("/").unwrap_or(group));
            let [limit, used] = names.map(|name| number(folder.join(name)));
            let (Some(limit), Some(used)) = (limit, used) else { continue };
            // Cached files are evicted on demand.
            let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
            let cached = field(&stat, "inactive_file ").unwrap_or(0);
            let free = limit.saturating_sub(used.saturating_sub(cached));
            least = Some(least.map_or(free, |least: usize| least.min(free)));
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_reported_on_linux() {
        if cfg!(target_os = "linux") {
            assert!(available().is_some_and(|bytes| bytes > 1 << 20));
        }
        assert_eq!(field("MemTotal:  12 kB\nMemAvailable:    34 kB\n", "MemAvailable:"), Some(34));
        assert_eq!(field("MemTotal:  12 kB\n", "MemAvailable:"), None);
    }
}
