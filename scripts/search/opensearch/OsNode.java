import java.nio.file.*;
import java.util.*;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;

/** usage: java -cp 'lib/*' OsNode.java HTTP_PORT DATA_DIR [key=value ...] */
public class OsNode extends Node {
    OsNode(Environment e, List<Class<? extends Plugin>> p) { super(e, p, false); }

    @SuppressWarnings("unchecked")
    public static void main(String[] a) throws Exception {
        int port = Integer.parseInt(a[0]);
        Path home = Paths.get(a[1]).toAbsolutePath();
        Files.createDirectories(home.resolve("config"));
        Settings.Builder s = Settings.builder()
            .put("path.home", home).put("path.data", home.resolve("data")).put("path.logs", home.resolve("logs"))
            .put("cluster.name", "tidemill-test").put("node.name", "n1")
            .put("network.host", "127.0.0.1").put("http.port", port).put("transport.port", port + 100)
            .put("http.type", "netty4").put("transport.type", "netty4")
            .put("discovery.type", "single-node")
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .put("action.destructive_requires_name", false);
        for (int i = 2; i < a.length; i++) { int q = a[i].indexOf('='); s.put(a[i].substring(0, q), a[i].substring(q + 1)); }
        List<Class<? extends Plugin>> plugins = new ArrayList<>();
        for (String n : new String[] {
                "org.opensearch.transport.Netty4ModulePlugin", "org.opensearch.transport.Netty4Plugin",
                "org.opensearch.painless.PainlessModulePlugin", "org.opensearch.painless.PainlessPlugin",
                "org.opensearch.index.reindex.ReindexModulePlugin", "org.opensearch.index.reindex.ReindexPlugin",
                "org.opensearch.index.mapper.MapperExtrasModulePlugin", "org.opensearch.index.mapper.MapperExtrasPlugin",
                "org.opensearch.analysis.common.CommonAnalysisModulePlugin", "org.opensearch.analysis.common.CommonAnalysisPlugin",
                "org.opensearch.ingest.common.IngestCommonModulePlugin", "org.opensearch.ingest.common.IngestCommonPlugin" }) {
            try { plugins.add((Class<? extends Plugin>) Class.forName(n)); } catch (ClassNotFoundException e) { }
        }
        System.out.println("plugins " + plugins);
        OsNode n = new OsNode(new Environment(s.build(), home.resolve("config")), plugins);
        n.start();
        System.out.println("READY http://127.0.0.1:" + port);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> { try { n.close(); } catch (Exception e) { } }));
        Thread.currentThread().join();
    }
}
