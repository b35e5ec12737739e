//! Titles that change hands, or what is recorded of them. Charges stay where they are (民法典 art. 406). What may be is
//! decided in `judgement`.

use proto::Share;
use proto::v1::{OwnershipChange, OwnershipChangeKind, Party, Property};

use super::{Holder, Register, Stamp, TitleId};

impl Register {
    /// The titles pass to these owners; each gets a new certificate, and the old ones certify nothing any more.
    pub(in super::super) fn hand_over(
        &mut self,
        transferees: &[Party],
        titles: &[TitleId],
        stamp: Stamp<'_>,
    ) -> Vec<String> {
        for (position, id) in titles.iter().enumerate() {
            if let Some(title) = self.titles.get_mut(id.0) {
                let takers = transferees.iter().filter(|party| concerns(party, position));
                title.holders = takers.map(|party| Holder::of(party, Vec::new())).collect();
            }
        }
        self.titles_certified_anew(titles, stamp)
    }

    /// Records holders and properties as the application says them.
    pub(in super::super) fn change_titles(
        &mut self,
        application: &OwnershipChange,
        titles: &[TitleId],
        stamp: Stamp<'_>,
    ) -> Vec<String> {
        for (id, property) in titles.iter().zip(&application.properties) {
            let Some(title) = self.titles.get_mut(id.0) else { continue };
            match application.kind() {
                OwnershipChangeKind::Holder => {
                    title.holders = renamed(&title.holders, &application.holders);
                }
                OwnershipChangeKind::Property | OwnershipChangeKind::Other => {
                    relocate(&mut title.location, property);
                }
                OwnershipChangeKind::CoOwnership => {
                    for holder in &mut title.holders {
                        let now = application.holders.iter().find(|party| holder.is(party));
                        holder.share = now.and_then(share_of);
                    }
                }
                OwnershipChangeKind::Unspecified => {}
            }
        }
        self.titles_certified_anew(titles, stamp)
    }

    /// New certificates for titles, one each; the old ones certify nothing any more.
    pub(in super::super) fn titles_certified_anew(
        &mut self,
        titles: &[TitleId],
        stamp: Stamp<'_>,
    ) -> Vec<String> {
        let mut numbers = Vec::with_capacity(titles.len());
        for id in titles {
            let number = self.new_title_number(stamp);
            let Some(title) = self.titles.get_mut(id.0) else { continue };
            for old in std::mem::replace(&mut title.title_numbers, vec![number.clone()]) {
                self.titles_by_name.remove(&old);
            }
            self.titles_by_name.insert(number.clone(), *id);
            numbers.push(number);
        }
        numbers
    }
}

impl Holder {
    fn of(party: &Party, former_names: Vec<String>) -> Self {
        Self {
            name: party.name.clone(),
            former_names,
            id_type: party.id_type(),
            id_number: party.id_number.clone(),
            share: share_of(party),
        }
    }
}

/// What a party says of its share; the gateway sends none that is none.
pub(in super::super) fn share_of(party: &Party) -> Option<Share> {
    Share::parse(&party.share).ok()
}

/// Whether a party has to do with the property at that position of the application.
pub(in super::super) fn concerns(party: &Party, position: usize) -> bool {
    let indexes = &party.property_indexes;
    indexes.is_empty() || indexes.iter().any(|index| usize::try_from(*index) == Ok(position))
}

/// The holders under the names and documents they have now; the name before stays known.
fn renamed(holders: &[Holder], now: &[Party]) -> Vec<Holder> {
    let renamed = now.iter().map(|party| {
        let before = holders.iter().find(|holder| holder.may_be(party));
        let former = before.into_iter().flat_map(|it| it.former_names.iter().chain([&it.name]));
        let share = before.and_then(|it| it.share);
        let former = former.filter(|name| **name != party.name).cloned().collect();
        Holder { share, ..Holder::of(party, former) }
    });
    renamed.collect()
}

fn relocate(location: &mut String, property: &Property) {
    if !property.location.is_empty() {
        location.clone_from(&property.location);
    }
}

impl Holder {
    /// Whether the party may be this holder under another name, or with another document.
    pub(in super::super) fn may_be(&self, party: &Party) -> bool {
        self.id_number == party.id_number || self.name == party.name
    }
}
