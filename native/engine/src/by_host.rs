//! What stands under names of hosts: exact before `*.`, whose star stands for exactly one label.

use foldhash::HashMap;

#[derive(Debug, Clone)]
pub struct ByHost<T> {
    exact: HashMap<String, T>,
    /// `*.example.com` under `example.com`.
    wildcard: HashMap<String, T>,
}

impl<T> Default for ByHost<T> {
    fn default() -> ByHost<T> {
        ByHost { exact: HashMap::default(), wildcard: HashMap::default() }
    }
}

impl<T> ByHost<T> {
    /// `host` is lower-case: `api.example.com`, or `*.example.com`. Answers what stood there.
    pub fn insert(&mut self, host: &str, it: T) -> Option<T> {
        match host.strip_prefix("*.") {
            Some(suffix) => self.wildcard.insert(suffix.to_owned(), it),
            None => self.exact.insert(host.to_owned(), it),
        }
    }

    /// What a (lower-case) name finds.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.exact.get(name).or_else(|| self.wildcard.get(name.split_once('.')?.1))
    }

    /// The same names, with something else under them.
    pub fn map<U>(&self, of: impl Fn(&T) -> U) -> ByHost<U> {
        let each = |map: &HashMap<String, T>| map.iter().map(|(name, it)| (name.clone(), of(it))).collect();
        ByHost { exact: each(&self.exact), wildcard: each(&self.wildcard) }
    }
}

#[cfg(test)]
mod tests {
    use super::ByHost;

    #[test]
    fn the_exact_name_comes_first_and_a_star_stands_for_one_label() {
        let mut hosts = ByHost::default();
        assert_eq!(hosts.insert("api.example.com", 1), None);
        assert_eq!(hosts.insert("*.example.com", 2), None);
        assert_eq!(hosts.insert("*.example.com", 3), Some(2));
        let found = |name| hosts.get(name).copied();
        assert_eq!((found("api.example.com"), found("www.example.com")), (Some(1), Some(3)));
        assert_eq!([found("example.com"), found("a.b.example.com"), found("")], [None; 3]);
        assert_eq!(hosts.map(|number| number * 2).get("www.example.com"), Some(&6));
    }
}
