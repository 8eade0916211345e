"""The face that kft shows lm-eval: task class, model class, start-up hook, patches."""
