package scheduler

// ExpandHosts and CountGPUs are tested by themselves: the rows of a text reach
// few of their errors.
var (
	ExpandHosts = expandHosts
	CountGPUs   = countGPUs
)
