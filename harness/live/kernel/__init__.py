"""The kernel network of live runs: namespaces, veth, nft and htb, so that partitions, losses and rates are real.

    C clients ──┐                         each of these joins is a veth pair; no namespace has a name,
    N node 1 ───┼── R ── H proxies        and nothing is ever in the machine's own one
    N node 2 ───┘   └─ limiters

Latency and jitter stay with the proxies (most kernels have no netem). The kernel acts between an initiator and its
proxy: each pair of hosts has a proxy of its own, so the packets to and from one port are exactly the two-way traffic
of that pair. R forwards all of them: nft drops them there and htb queues them. A process in R (`agent`) holds all
namespaces; when it dies, the kernel removes everything.
"""
