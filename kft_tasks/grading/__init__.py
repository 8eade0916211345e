"""A model as judge of stored answers, where no rule of strings can judge: asked once per answer, and measured."""
