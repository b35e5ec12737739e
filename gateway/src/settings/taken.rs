//! What of a settings file that has changed counts while the gateway runs; everything else waits for a restart.

use super::{Console, Contracts, Listen, Settings};

/// What is taken: a table, or one of its keys.
const TAKEN: [&str; 10] = [
    "office",
    "registry",
    "routing",
    "matters",
    "calendar",
    "institution",
    "listen.proxy",
    "contracts.keys",
    "console.person",
    "console.proxy",
];

impl Settings {
    /// These settings, with what is taken of `changed`.
    pub(crate) fn with_taken(&self, changed: &Self) -> Self {
        Self {
            offices: changed.offices.clone(),
            registries: changed.registries.clone(),
            routing: changed.routing.clone(),
            matters: changed.matters.clone(),
            calendar: changed.calendar.clone(),
            institutions: changed.institutions.clone(),
            listen: Listen { proxies: changed.listen.proxies.clone(), ..self.listen.clone() },
            contracts: Contracts { keys: changed.contracts.keys.clone(), ..self.contracts.clone() },
            console: self.console.as_ref().map(|it| it.with_people_of(changed.console.as_ref())),
            ..self.clone()
        }
    }

    /// Tables of which `changed` says something else that is not taken, `[name]` each. `written` and `changed_to` are the two
    /// files.
    pub(crate) fn waiting(
        &self,
        written: &toml::Table,
        changed: &Self,
        changed_to: &toml::Table,
    ) -> Vec<String> {
        let (before, now) = (left(written), left(changed_to));
        let names = before.keys().chain(now.keys());
        let differing =
            names.filter(|name| before.get(*name) != now.get(*name)).map(String::as_str);
        let signs_in_as_before = match (&self.console, &changed.console) {
            (Some(console), Some(changed)) => console.signs_in_as(changed),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let console = (!signs_in_as_before).then_some("console");
        let mut waiting: Vec<_> =
            differing.chain(console).map(|name| format!("[{name}]")).collect();
        waiting.sort_unstable();
        waiting.dedup();
        waiting
    }
}

/// A file without what is taken, and without tables that say nothing else.
fn left(file: &toml::Table) -> toml::Table {
    let mut left = file.clone();
    for taken in TAKEN {
        let Some((name, key)) = taken.split_once('.') else {
            left.remove(taken);
            continue;
        };
        let Some(toml::Value::Table(table)) = left.get_mut(name) else { continue };
        if table.remove(key).is_some() && table.is_empty() {
            left.remove(name);
        }
    }
    left
}

impl Console {
    /// Whether people would sign in at the same port as here, or not sign in, as here. People of one way let in by the other
    /// could be anybody.
    fn signs_in_as(&self, changed: &Self) -> bool {
        (self.address.is_some(), self.signs_in()) == (changed.address.is_some(), changed.signs_in())
    }

    /// With those who sign in by `changed`, if they do so in the same way.
    fn with_people_of(&self, changed: Option<&Self>) -> Self {
        match changed.filter(|changed| self.signs_in_as(changed)) {
            Some(changed) => Self {
                people: changed.people.clone(),
                proxy: changed.proxy.clone(),
                ..self.clone()
            },
            None => self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{super::tests::SMALLEST, *};

    const DOOR: &str = "[console]\naddress = \"127.0.0.1:0\"\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\n";

    fn read(more: &str) -> (Settings, toml::Table) {
        let text = format!("{SMALLEST}{more}");
        let settings = Settings::parse(&text, Path::new("directlink.toml")).unwrap();
        (settings, text.parse().unwrap())
    }

    fn person(name: &str) -> String {
        format!(
            "[[console.person]]\nname = \"{name}\"\nrole = \"viewer\"\ncertificate = \"{name}\"\n"
        )
    }

    /// Tables that wait, and who signs in to the console then.
    fn taken(before: &str, now: &str) -> (Vec<String>, Vec<String>) {
        let ((before, written), (now, changed_to)) = (read(before), read(now));
        let waiting = before.waiting(&written, &now, &changed_to);
        let console = before.with_taken(&now).console;
        let people = console.into_iter().flat_map(|it| it.people).map(|it| it.name);
        (waiting, people.collect())
    }

    fn told(waiting: &[&str], people: &[&str]) -> (Vec<String>, Vec<String>) {
        let owned = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect();
        (owned(waiting), owned(people))
    }

    #[test]
    fn people_are_taken_where_they_sign_in_as_before_and_the_rest_waits() {
        let (ann, ben) = (format!("{DOOR}{}", person("ann")), format!("{DOOR}{}", person("ben")));
        assert_eq!(taken(&ann, &ben), told(&[], &["ben"]));
        let slower = ben.replace("[console]\n", "[console]\nrefresh_seconds = 9\n");
        assert_eq!(taken(&ann, &slower), told(&["[console]"], &["ben"]));
        // Nobody of a file without people, or of another port, is let in by the port that stands.
        assert_eq!(taken(&ann, ""), told(&["[console]"], &["ann"]));
        assert_eq!(taken(&ann, "[console]\n"), told(&["[console]"], &["ann"]));
        assert_eq!(taken("[console]\n", &ann), told(&["[console]"], &[]));
        let proxy = "[console.proxy]\naddresses = [\"127.0.0.1\"]\noperators = [\"ops\"]\n";
        assert_eq!(taken("[console]\n", proxy), told(&["[console]"], &[]));
        assert_eq!(taken(proxy, &proxy.replace("ops", "others")), told(&[], &[]));
    }

    #[test]
    fn keys_and_institutions_are_taken_and_limits_wait() {
        let keys = "[contracts.keys.one]\nbank = \"b\"\ngateway = \"g\"\n";
        assert_eq!(taken("", keys), told(&[], &[]));
        assert_eq!(taken(keys, "[contracts]\nfolder = \"c\"\n"), told(&["[contracts]"], &[]));
        let more = "[[institution]]\nid = \"two\"\nname = \"二\"\nkind = \"BANK\"\ncontract = \"two\"\n\
                    certificate_issuer = \"CN=Authority\"\ncertificate_san = \"core.two.example\"\n\
                    [limits]\nhandshakes_max = 1\n";
        let ((before, _), (now, _)) = (read(""), read(more));
        let counting = before.with_taken(&now);
        assert_eq!((counting.institutions.len(), counting.limits.handshakes_max), (2, 256));
        assert_eq!(taken("", more), told(&["[limits]"], &[]));
    }
}
