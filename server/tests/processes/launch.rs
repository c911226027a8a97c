//! The form of a new run, as it is sent by tests that train: one place for its fields.

use super::house::BASE;

/// A run of four epochs that learns what it is shown.
pub struct Launch<'a> {
    pub tenant: &'a str,
    pub name: &'a str,
    pub dataset: &'a str,
    pub model: &'a str,
    /// Rows a step.
    pub batch: &'a str,
    /// The same form sent again leads to the same run.
    pub submission: &'a str,
}

impl<'a> Launch<'a> {
    pub fn fields(&self) -> Vec<(&'static str, &'a str)> {
        vec![
            ("tenant", self.tenant),
            ("form[name]", self.name),
            ("form[base_model]", BASE),
            ("form[dataset]", self.dataset),
            ("form[model_name]", self.model),
            ("form[finetuning_type]", "lora"),
            ("form[lora_rank]", "8"),
            ("form[lora_alpha]", "16"),
            ("form[lora_target]", "all"),
            ("form[num_train_epochs]", "4"),
            ("form[learning_rate]", "0.004"),
            ("form[lr_scheduler_type]", "cosine"),
            ("form[warmup_steps]", "2"),
            ("form[per_device_train_batch_size]", self.batch),
            ("form[gradient_accumulation_steps]", "1"),
            ("form[cutoff_len]", "128"),
            ("form[seed]", "42"),
            ("form[submission]", self.submission),
        ]
    }
}
