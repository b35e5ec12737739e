//! What each office does: which matters it takes, how it hands out certificates, when it is open.
//!
//! Two say so: settings, and the registry itself when it is asked (`DescribeOffices`). The stricter counts, and operators
//! are told where they differ. A registry that does not answer leaves what it said last; before it said anything, settings
//! count alone. Nothing here refuses a filing: the exchange does.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use proto::v1::{DeliveryMethod, OfficeDescription};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{exchange::Gateway, hours::Hours, registry::Registry, settings::Office};

/// What registries say of their offices, as last heard. Cheap to read.
#[derive(Debug, Default)]
pub struct Capabilities {
    by_registry: ArcSwap<HashMap<String, Arc<Accounts>>>,
}

/// One registry's account of its offices, by code.
type Accounts = HashMap<String, Account>;

/// What a registry says of one office. What it leaves empty it does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Account {
    matters: BTreeSet<String>,
    deliveries: Vec<DeliveryMethod>,
    hours: Option<Hours>,
    address: String,
    phone: String,
    notices: Vec<String>,
}

impl From<OfficeDescription> for Account {
    fn from(told: OfficeDescription) -> Self {
        Self {
            deliveries: told.deliveries().collect(),
            hours: Hours::described(&told.hours),
            matters: told.matters.into_iter().collect(),
            address: told.address,
            phone: told.phone,
            notices: told.notices,
        }
    }
}

/// What one office does, as far as anybody says.
#[derive(Debug)]
pub struct Service<'o> {
    office: &'o Office,
    accounts: Option<Arc<Accounts>>,
}

impl Capabilities {
    /// What an office does.
    pub fn of<'o>(&self, office: &'o Office) -> Service<'o> {
        Service { office, accounts: self.by_registry.load().get(&office.registry).cloned() }
    }

    /// Takes what a registry says of its offices.
    fn take(&self, registry: &str, told: Vec<OfficeDescription>) {
        let accounts = told.into_iter().filter_map(|told| {
            let code = told.office.as_ref()?.code.clone();
            Some((code, Account::from(told)))
        });
        let accounts = Arc::new(accounts.collect());
        self.by_registry.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.insert(registry.to_owned(), Arc::clone(&accounts));
            all
        });
    }
}

impl Service<'_> {
    fn account(&self) -> Option<&Account> {
        self.accounts.as_ref()?.get(&self.office.code)
    }

    /// Whether it takes a matter, by its name in `Application.matter`.
    pub fn takes(&self, matter: &str) -> bool {
        let ours = self.office.matters.as_ref();
        let theirs = self.account().map(|it| &it.matters).filter(|it| !it.is_empty());
        ours.is_none_or(|it| it.contains(matter)) && theirs.is_none_or(|it| it.contains(matter))
    }

    /// How it hands out certificates; `None`: in every way, as far as is known.
    pub fn deliveries(&self) -> Option<Vec<DeliveryMethod>> {
        let ours = self.office.deliveries();
        let theirs = self.account().map(|it| it.deliveries.clone()).filter(|it| !it.is_empty());
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => {
                Some(ours.into_iter().filter(|method| theirs.contains(method)).collect())
            }
            (ours, theirs) => ours.or(theirs),
        }
    }

    /// When it is open; `None`: always, as far as is known.
    pub fn hours(&self) -> Option<Hours> {
        let ours = self.office.hours.as_ref();
        match (ours, self.account().and_then(|it| it.hours.as_ref())) {
            (Some(ours), Some(theirs)) => Some(ours.and(theirs)),
            (ours, theirs) => ours.or(theirs).cloned(),
        }
    }

    /// Where to turn to: name, address, telephone and hours, as far as they are known, in the bank's language.
    pub fn where_to_turn(&self) -> String {
        let hours = self.hours().map(|hours| hours.to_string()).unwrap_or_default();
        let known = [("地址", self.address()), ("电话", self.phone()), ("办公时间", hours)];
        let known = known.into_iter().filter(|(_, known)| !known.is_empty());
        known.fold(self.office.name.clone(), |told, (what, known)| {
            format!("{told}，{what}：{known}")
        })
    }

    /// Its address for visitors; empty if nobody says it.
    pub fn address(&self) -> String {
        self.ours_or_theirs(self.office.address.as_ref(), |account| &account.address)
    }

    /// The telephone of its counter; empty if nobody says it.
    pub fn phone(&self) -> String {
        self.ours_or_theirs(self.office.phone.as_ref(), |account| &account.phone)
    }

    /// Its registry's notices to applicants.
    pub fn notices(&self) -> Vec<String> {
        self.account().map(|account| account.notices.clone()).unwrap_or_default()
    }

    fn ours_or_theirs(&self, ours: Option<&String>, theirs: fn(&Account) -> &String) -> String {
        ours.or_else(|| self.account().map(theirs)).cloned().unwrap_or_default()
    }

    /// Where settings and the registry say different things of it, for operators; empty if they agree, or if the registry
    /// was never heard.
    fn differences(&self) -> Vec<String> {
        let Some(accounts) = &self.accounts else { return Vec::new() };
        let Some(account) = accounts.get(&self.office.code) else {
            return vec!["the registry does not name this office".to_owned()];
        };
        let mut found = Vec::new();
        let mut differ = |what: &str, ours: Option<String>, theirs: Option<String>| {
            if let (Some(ours), Some(theirs)) = (ours, theirs)
                && ours != theirs
            {
                found.push(format!("{what}: settings say {ours}; the registry says {theirs}"));
            }
        };
        let listed = |matters: &BTreeSet<String>| {
            Some(matters.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
                .filter(|listed| !listed.is_empty())
        };
        differ("matters", self.office.matters.as_ref().and_then(listed), listed(&account.matters));
        let ways = |methods: Vec<DeliveryMethod>| {
            let names: BTreeSet<_> = methods.iter().map(|method| name_of(*method)).collect();
            Some(names.into_iter().collect::<Vec<_>>().join(" ")).filter(|ways| !ways.is_empty())
        };
        let ours = self.office.deliveries().and_then(ways);
        differ("delivery", ours, ways(account.deliveries.clone()));
        let clock = |hours: &Option<Hours>| hours.as_ref().map(Hours::to_string);
        differ("hours", clock(&self.office.hours), clock(&account.hours));
        found
    }
}

/// A delivery method as settings write it.
pub fn name_of(method: DeliveryMethod) -> &'static str {
    method.as_str_name().trim_start_matches("DELIVERY_METHOD_")
}

/// Asks one registry about its offices, at once and then every so often, until `stop` is cancelled.
pub async fn ask(gateway: Arc<Gateway>, registry: Registry, stop: CancellationToken) {
    let mut differing = Differing::default();
    loop {
        let pause = match registry.describe_offices().await {
            Ok(told) => {
                gateway.capabilities.take(registry.name(), told);
                let offices = gateway.directory().route.offices();
                let count = differing.look(&gateway.capabilities, registry.name(), &offices);
                gateway.metrics.offices_differing(registry.name(), count);
                registry.describe_every()
            }
            Err(error) => {
                tracing::info!(
                    registry = registry.name(),
                    %error,
                    "the registry did not say what its offices do; what is known counts on"
                );
                registry.describe_every().min(AGAIN_AFTER)
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// When a registry that did not answer is asked again, at the latest.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What operators were told of each office; a difference is told once.
#[derive(Debug, Default)]
struct Differing(HashMap<String, Vec<String>>);

impl Differing {
    /// Tells what differs now and did not before, and how many of the registry's offices differ.
    fn look(
        &mut self,
        capabilities: &Capabilities,
        registry: &str,
        offices: &[Arc<Office>],
    ) -> usize {
        let mut now = HashMap::new();
        for office in offices.iter().filter(|office| office.registry == registry) {
            let found = capabilities.of(office).differences();
            if self.0.get(&office.code).map_or(&[][..], Vec::as_slice) != found {
                tracing::warn!(
                    registry,
                    office = office.code,
                    differences = found.join("; "),
                    "what settings and the registry say of an office has come to differ, or to agree: the stricter counts"
                );
            }
            if !found.is_empty() {
                now.insert(office.code.clone(), found);
            }
        }
        self.0 = now;
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::OpeningHours;

    use super::*;
    use crate::settings::Delivery;

    fn office() -> Office {
        Office {
            code: "1".into(),
            name: "示例中心".into(),
            registry: "province".into(),
            matters: Some(["seizure".to_owned(), "mortgage_registration".to_owned()].into()),
            delivery: Some(vec![Delivery::Electronic, Delivery::Courier]),
            address: Some("示例路1号".into()),
            ..Office::default()
        }
    }

    fn told(matters: &[&str], deliveries: &[DeliveryMethod]) -> Vec<OfficeDescription> {
        let hours = OpeningHours { weekday: 1, opens: "09:00".into(), closes: "17:00".into() };
        vec![OfficeDescription {
            office: Some(office().canonical()),
            address: "别处".into(),
            phone: "010-1".into(),
            matters: matters.iter().map(|matter| (*matter).to_owned()).collect(),
            deliveries: deliveries.iter().map(|method| i32::from(*method)).collect(),
            hours: vec![hours],
            notices: Vec::new(),
        }]
    }

    #[test]
    fn before_the_registry_was_heard_settings_count_alone() {
        let (capabilities, office) = (Capabilities::default(), office());
        let service = capabilities.of(&office);
        assert!(service.takes("seizure") && !service.takes("mortgage_discharge"));
        assert_eq!(service.hours(), None);
        assert!(service.differences().is_empty());
        assert_eq!(service.where_to_turn(), "示例中心，地址：示例路1号");
    }

    #[test]
    fn the_stricter_counts_whoever_it_is() {
        let (capabilities, office) = (Capabilities::default(), office());
        let courier = [DeliveryMethod::Courier, DeliveryMethod::Pickup];
        capabilities.take("province", told(&["seizure", "mortgage_discharge"], &courier));
        let service = capabilities.of(&office);
        assert!(service.takes("seizure"));
        assert!(!service.takes("mortgage_discharge"), "settings do not allow it");
        assert!(!service.takes("mortgage_registration"), "the registry does not do it");
        assert_eq!(service.deliveries(), Some(vec![DeliveryMethod::Courier]));
        assert_eq!(
            service.where_to_turn(),
            "示例中心，地址：示例路1号，电话：010-1，办公时间：周一 09:00-17:00"
        );
    }

    #[test]
    fn what_is_left_empty_is_not_said() {
        let (capabilities, office) = (Capabilities::default(), office());
        capabilities.take("province", told(&[], &[]));
        let service = capabilities.of(&office);
        assert!(service.takes("seizure") && !service.takes("mortgage_discharge"));
        assert_eq!(service.deliveries().map(|it| it.len()), Some(2));
        assert!(service.differences().is_empty());
    }

    #[test]
    fn a_difference_is_told_once_and_counted_while_it_lasts() {
        let (capabilities, offices) = (Capabilities::default(), [Arc::new(office())]);
        let mut differing = Differing::default();
        let mut look = |told| {
            capabilities.take("province", told);
            differing.look(&capabilities, "province", &offices)
        };
        assert_eq!(look(told(&["seizure"], &[])), 1);
        assert_eq!(look(told(&["mortgage_registration", "seizure"], &[])), 0);
        assert_eq!(look(Vec::new()), 1, "the registry does not name it");
    }
}
