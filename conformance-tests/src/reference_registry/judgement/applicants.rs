//! Who applies about a home, held against who is registered as holding it.

use proto::{
    Share,
    v1::{Party, Property},
};

use super::property_name;
use crate::reference_registry::{
    complaint::{Complaints, Reason},
    register::{Holder, Title, concerns, share_of},
};

/// The parties of one list of an application, and one home that it is about. Some of the list may be about others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applicants<'a> {
    /// As it is registered.
    pub(super) title: &'a Title,
    /// As the application names it, and its place there.
    pub(super) property: &'a Property,
    pub(super) position: usize,
    /// The list's name in the matter.
    pub(super) list: &'static str,
    pub(super) parties: &'a [Party],
}

impl<'a> Applicants<'a> {
    /// Whether they may dispose of the home: they own it, and all who own it are among them, or those who have two thirds of it
    /// where it is owned by shares (民法典 art. 301). A share that is stated must be the registered one.
    pub(super) fn may_dispose(self, complaints: &mut Complaints) {
        let Self { title, list, .. } = self;
        let held = |holder: &&Holder| self.concerned().any(|(_, party)| holder.is(party));
        let shares: Vec<_> = title.holders.iter().filter(held).filter_map(|it| it.share).collect();
        for (place, party) in self.concerned() {
            let registered = title.holders.iter().find(|holder| holder.is(party));
            let registered = registered.and_then(|holder| holder.share);
            if registered.zip(share_of(party)).is_some_and(|(is, said)| !is.may_be(said)) {
                let field = format!("matter.{list}[{place}].share");
                complaints.add(Reason::ShareMismatch, &field, property_name(self.property));
            }
        }
        if Share::make_two_thirds(&shares) {
            self.hold(complaints);
        } else {
            self.are_all_holders(complaints);
        }
    }

    /// Whether they are the home's holders, and all of them.
    pub(super) fn are_all_holders(self, complaints: &mut Complaints) {
        self.hold(complaints);
        let absent = |holder: &Holder| !self.concerned().any(|(_, party)| holder.is(party));
        if self.title.holders.iter().any(absent) {
            let field = format!("matter.{}", self.list);
            complaints.add(Reason::HolderAbsent, &field, property_name(self.property));
        }
    }

    /// Whether each of them is one of the home's holders.
    fn hold(self, complaints: &mut Complaints) {
        for (place, party) in self.concerned() {
            if !self.title.holders.iter().any(|holder| holder.is(party)) {
                let field = format!("matter.{}[{place}].id_number", self.list);
                complaints.add(Reason::HolderMismatch, &field, property_name(self.property));
            }
        }
    }

    /// Those of the list who apply about this home, each with its place there.
    fn concerned(self) -> impl Iterator<Item = (usize, &'a Party)> {
        let parties = self.parties.iter().enumerate();
        parties.filter(move |(_, party)| concerns(party, self.position))
    }
}
