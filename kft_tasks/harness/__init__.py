"""kft's interface to lm-eval: task class, model class, start-up hook, patches."""
