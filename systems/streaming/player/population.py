from harness.system import Workload

viewers = Workload("viewers", "viewer", (), (), {}, None, None)
