package server

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
)

// gossipService says which nodes the cluster has.
type gossipService struct {
	gossip.UnimplementedGossipServer
	s *Server
}

// Read implements the gossip service.
func (g *gossipService) Read(context.Context, *shared.Empty) (*gossip.ClusterInfo, error) {
	c := g.s.cluster
	c.mu.Lock()
	nodes, leader := append([]*Server(nil), c.nodes...), c.leader
	c.mu.Unlock()
	info := &gossip.ClusterInfo{}
	for _, n := range nodes {
		host, port, err := net.SplitHostPort(n.Address())
		if err != nil {
			return nil, err
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, err
		}
		state := gossip.MemberInfo_Follower
		if n == leader {
			state = gossip.MemberInfo_Leader
		}
		n.mu.Lock()
		alive := n.serving != nil
		n.mu.Unlock()
		info.Members = append(info.Members, &gossip.MemberInfo{
			InstanceId:   structured(newID()),
			TimeStamp:    time.Now().UnixMicro(),
			State:        state,
			IsAlive:      alive,
			HttpEndPoint: &gossip.EndPoint{Address: host, Port: uint32(number)},
		})
	}
	return info, nil
}

// featuresService says what the server can do.
type featuresService struct {
	serverfeatures.UnimplementedServerFeaturesServer
	s *Server
}

// GetSupportedMethods implements the server features service. What is not
// named here, batch appends above all, clients do not use.
func (f *featuresService) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	methods := &serverfeatures.SupportedMethods{EventStoreServerVersion: f.s.cfg.Version}
	for _, name := range []string{"append", "read", "delete", "tombstone"} {
		methods.Methods = append(methods.Methods, &serverfeatures.SupportedMethod{
			MethodName: name, ServiceName: "event_store.client.streams.streams",
		})
	}
	return methods, nil
}
