//! A map with one value per type.

use std::any::{Any, TypeId};
use std::collections::HashMap;

/// Values of different types, each found by its type.
#[derive(Default)]
pub struct TypeMap {
    values: HashMap<TypeId, Box<dyn Any + Send>>,
}

impl TypeMap {
    /// The value of that type, if there is one.
    pub fn get<T: Send + 'static>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// The value of that type, mutable, if there is one.
    pub fn get_mut<T: Send + 'static>(&mut self) -> Option<&mut T> {
        self.values.get_mut(&TypeId::of::<T>())?.downcast_mut()
    }

    /// Inserts a value, replacing the one of its type.
    pub fn insert<T: Send + 'static>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// The value of that type, created on first use.
    pub fn entry<T: Default + Send + 'static>(&mut self) -> &mut T {
        let value = self.values.entry(TypeId::of::<T>()).or_insert_with(|| Box::<T>::default());
        value.downcast_mut().expect("a value is stored under its own type")
    }

    /// Removes and returns the value of that type; its default if there is none.
    pub fn take<T: Default + Send + 'static>(&mut self) -> T {
        let value = self.values.remove(&TypeId::of::<T>());
        value.and_then(|value| value.downcast().ok()).map(|value| *value).unwrap_or_default()
    }
}
